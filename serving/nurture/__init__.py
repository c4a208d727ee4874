"""Nurture in answers: the track and step of a lead, how deep content may go, and by when a reply is due."""

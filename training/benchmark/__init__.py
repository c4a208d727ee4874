"""Every labelled set that is there, judged with the same rivals on one page."""

"""Detectors of what could not have been known, each with its evidence."""

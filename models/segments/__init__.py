"""Segments: who is in which, since when and why; how definitions are checked, compared and recorded."""

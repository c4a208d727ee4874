"""The review of segments with evidence."""

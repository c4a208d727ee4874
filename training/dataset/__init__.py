"""Rows to learn from: snapshots, labels, splits, and what the records cannot tell."""

"""Candidate segments: clusters, the conditions they are distilled to, and their identity across fits."""

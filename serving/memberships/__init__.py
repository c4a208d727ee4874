"""Memberships from one run to the next: state, moves, triggers."""

"""What can be proved about a rule book, and what a change of it would widen."""

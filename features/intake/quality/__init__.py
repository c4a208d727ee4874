"""What a set of files is worth: completeness, age, contradictions, tracking, leaks."""

"""What may be used of what is known, and what was withheld and why."""

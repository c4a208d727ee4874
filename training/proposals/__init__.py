"""The proposal journey and what it leaves behind."""

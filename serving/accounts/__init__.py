"""Accounts as people see them: stage, buying group, who is missing."""

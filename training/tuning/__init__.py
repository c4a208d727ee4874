"""The search for better booster shapes within a budget."""

"""Data sheets: which data something stands on, how they are cleaned and renewed, who approved it and who answers."""

"""The next best action: what is chosen, what is missing, who takes it and by when."""

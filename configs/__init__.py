"""What people edit, its one reader, and the errors: the lowest layer."""

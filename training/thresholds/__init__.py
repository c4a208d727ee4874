"""Where bands are cut, and what each band will bring."""

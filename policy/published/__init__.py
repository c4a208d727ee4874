"""The rule book for others to read and run: English, one page, SQL."""

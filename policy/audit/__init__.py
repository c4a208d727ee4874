"""The audit log: what it keeps, how it is chained, signed, read back, proved and erased from."""

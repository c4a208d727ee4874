"""What moved between then and now, and how calibration follows it."""

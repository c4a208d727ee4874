"""Encoded rows kept from night to night, so that only what is new is read."""

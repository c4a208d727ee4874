"""From a bundle to decisions: online and in batch, by the same calls."""

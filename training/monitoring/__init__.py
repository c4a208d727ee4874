"""What moved between two nightly results, told from noise, in words, with who has to look at it."""

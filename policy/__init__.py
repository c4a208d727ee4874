"""What is ruled: hand-written rule cards over facts; never sees a model or a score."""

"""What a quarter teaches: who advanced, who stalled, and why."""

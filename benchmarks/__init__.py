"""Speed beside the alternatives a user has, both sides in one run. `make bench` prints ratios; tests never time."""

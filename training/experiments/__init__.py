"""What randomisation teaches: exploration and holdout, inverse propensity, uplift."""

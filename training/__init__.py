"""From tables to a bundle: sample world, dataset, training, evaluation, tracking."""

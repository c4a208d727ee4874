"""The scorecard beside the data: points that data would suggest, and a bundle before there are data."""

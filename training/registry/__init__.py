"""From a bundle to what serves: tracking, champion and challenger, approval, history."""

"""Learning runs and classification."""

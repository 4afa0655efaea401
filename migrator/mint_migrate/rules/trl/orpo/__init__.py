"""Odds ratio preference optimization: `ORPOTrainer`."""

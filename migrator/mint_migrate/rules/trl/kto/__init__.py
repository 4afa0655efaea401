"""Kahneman-Tversky optimization: `KTOTrainer`."""

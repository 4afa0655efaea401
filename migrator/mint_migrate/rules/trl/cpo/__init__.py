"""Contrastive and simple preference optimization: `CPOTrainer`."""

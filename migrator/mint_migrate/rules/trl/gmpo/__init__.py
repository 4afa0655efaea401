"""Geometric-mean policy optimization: `GMPOTrainer`."""

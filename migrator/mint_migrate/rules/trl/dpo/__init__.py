"""Rules of `DPOTrainer`."""

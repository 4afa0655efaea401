"""Triple preference optimization: `TPOTrainer`."""

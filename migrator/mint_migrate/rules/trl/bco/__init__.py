"""Binary classifier optimization: `BCOTrainer`."""

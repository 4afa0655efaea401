"""`GRPOTrainer`."""

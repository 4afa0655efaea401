"""Supervised fine-tuning: `SFTTrainer`."""

"""Reward models: `RewardTrainer`, refused, or trained as a generative one where the user asks."""

"""PPO in its three forms, converted without its critic where the user asks for that."""

"""Optimizers with the parameters the API names."""

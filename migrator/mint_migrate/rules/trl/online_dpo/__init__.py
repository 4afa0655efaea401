"""Preference optimization on samples of the policy itself."""

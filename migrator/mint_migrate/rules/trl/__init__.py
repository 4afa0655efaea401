"""Rules for TRL."""

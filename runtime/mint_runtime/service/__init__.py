"""Sessions, models, samplers, checkpoints and futures over an engine.

Knows HTTP and SQLite, never torch.
"""

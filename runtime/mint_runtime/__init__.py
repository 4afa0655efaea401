"""A server for the MinT / Tinker training API, for one machine.

Four layers, imports pointing down only: `wire` (bytes and messages), `service` (sessions, futures,
ordering), `engine` (devices, models, steps), and `model`, `losses`, `sampler`, `optim` (plain
PyTorch).
"""

__version__ = "0.1.0"

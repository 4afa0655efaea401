"""Every check, by importing the modules that register them."""

from __future__ import annotations

from acceptance.programs import (
    checkpoints,
    harness,
    losses,
    mistakes,
    sampling,
    sessions,
    together,
    training,
)

MODULES = (sessions, training, losses, sampling, checkpoints, mistakes, together)


def names(client: str) -> list[str]:
    """Return the names of the checks of one client, in the order they run."""
    return harness.names(client)

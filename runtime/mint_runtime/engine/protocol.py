"""The one interface between service and engine. No torch, no HTTP."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from mint_runtime.engine.commands import Capabilities, Command, EngineStats, Result


class Engine(Protocol):
    """Runs commands. Every method returns at once and may be called from any thread.

    Commands for one `model_id` run in the order they were submitted; between models and samplers
    the engine may reorder, merge and interleave as it likes. A command that fails sets an exception
    on its future and changes nothing: `mint_runtime.errors.UserError` for what the caller can mend,
    anything else is a bug of ours.
    """

    def capabilities(self) -> Capabilities:
        """Return what is served. Constant for the life of the engine."""
        ...

    def stats(self) -> EngineStats:
        """Return counters and what is held now."""
        ...

    def submit(self, command: Command) -> Future[Result]:
        """Queue a command. The future's result has the type that belongs to the command."""
        ...

    def close(self) -> None:
        """Finish the running command, fail the queued ones, free the devices."""
        ...

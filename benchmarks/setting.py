"""What a run of the benchmarks was told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.limits import Machine
from benchmarks.models import ModelShape

ELEMENT_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The model, where it runs, and how often."""

    model: ModelShape
    folder: Path
    """The model's weights."""
    scratch: Path
    """For state and logs of this run."""
    machine: Machine
    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1
    """Threads of each torch process. With models as small as the tiny one, more are slower."""
    repeats: int = 5
    peers: frozenset[str] | None = None
    """Names of the peers to run; None runs all that can run here."""
    minutes: float = 30.0
    """Length of the soak."""

    @property
    def rank(self) -> int:
        """Return the rank of adapters."""
        return 8 if self.model.is_tiny else 32

    @property
    def element_bytes(self) -> int:
        """Return the bytes of one weight."""
        return ELEMENT_BYTES[self.dtype]

    def wants(self, peer: str) -> bool:
        """Return whether `peer` is to be run."""
        return self.peers is None or peer in self.peers

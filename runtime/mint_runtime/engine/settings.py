"""What an engine is started with. No torch, so that a command line can build it cheaply."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Base models, where they run, and the limits of their adapters."""

    base_models: tuple[tuple[str, str], ...]
    """Pairs of the name clients use and the folder (or hub id) the weights are read from."""
    device: str = "cpu"
    """A torch device, for example `cpu` or `cuda:0`."""
    dtype: str = "float32"
    """Type of the frozen base weights: `float32` or `bfloat16`. Adapters are always float32."""
    max_lora_rank: int = 128
    max_adapters: int = 64
    """How many models may be trained side by side. Snapshots for sampling are not counted."""
    initial_adapter: Path | None = None
    """A peft folder that the first model created on each base model starts from."""
    replay: Path | None = None
    """A file of recorded completions that requests for samples are answered with."""
    allow_remote_code: bool = False
    """Whether python files that come with a base model may run."""

"""What a comparison asks of a child process, and what the child leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

RECORD = "record.jsonl"
"""One line per optimizer step of the original."""

ADAPTER = "adapter"
"""Folder, in peft format, of the adapter as it was before the first step."""

REPLAY = "replay.jsonl"
"""Completions that the original trains on, one per line, in the order of their generation."""

ALIGNED = "aligned.txt"
"""Present when the original's trainable parameters were replaced; says by what."""

METRICS_PATH = "metrics_path.txt"
"""Where the converted script writes its metrics."""

ENDING = "ending.txt"
"""Why the child ended: one of the two words below, or absent after a failure."""

REACHED = "reached"
"""The requested number of steps was trained."""

COMPLETED = "completed"
"""Training ended by itself before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """One child."""

    script: str
    args: tuple[str, ...]
    output: str
    """Folder for what the child leaves behind."""
    num_steps: int
    is_original: bool
    lora_rank: int = 32
    """Of the adapter that replaces full fine-tuning."""
    lora_alpha: int = 32

    def write(self, file: Path) -> None:
        """Write the specification as JSON."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_spec(file: Path) -> ChildSpec:
    """Read what `write` wrote."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return ChildSpec(**(content | {"args": tuple(content["args"])}))

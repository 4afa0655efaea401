"""What the templates of verl's supervised entries look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.launched_script import LaunchedScript


@dataclass(frozen=True, slots=True, kw_only=True)
class VerlSftScript(LaunchedScript):
    """A training of `verl.trainer.fsdp_sft_trainer` or `verl.trainer.sft_trainer`."""

    template: ClassVar[str] = "verl_sft.py.j2"
    headline: ClassVar[str] = "Supervised fine-tuning"
    rows: str
    """pairs (a prompt and a response) | prefixes | messages (conversations, each turn by what its
    prefix lacks, or by itself).
    """
    cut: str
    """What happens to a row that is too long: error | left | right."""
    thinks: bool = False
    """Thinking is on for rows that say nothing of it."""
    chat_options: tuple[str, ...] = ()
    prompt_path: bool = False
    """The prompt stands inside a column, behind further keys."""
    response_path: bool = False
    micro_batches: bool = False
    """The loss is a mean over micro-batches of means over tokens, not a mean over tokens."""
    several_processes: bool = False
    """Micro-batches are those of several processes, each with every n-th row."""
    validates: bool = False
    validates_every: str = ""
    """When validation comes beside the end: steps (every so many) | epoch (each one) | empty."""
    saves_every: str = ""
    """The same for checkpoints."""
    limit_steps: bool = False

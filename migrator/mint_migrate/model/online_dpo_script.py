"""The converted preference optimization on own samples as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.rollouts_script import PromptScript, RewardsScript
from mint_migrate.model.script import EpochsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineDpoScript(EpochsScript):
    """Everything `online_dpo.py.j2` looks at; what is fixed here the shared templates ask for."""

    template: ClassVar[str] = "online_dpo.py.j2"
    group: ClassVar[str] = "2"
    old_logprobs: ClassVar[str] = "none"
    reference: ClassVar[bool] = True
    masked: ClassVar[bool] = False
    masks_truncated: ClassVar[bool] = False
    tools: ClassVar[str] = ""
    prompt: PromptScript
    rewards: RewardsScript
    sampling: tuple[tuple[str, str], ...]
    """Arguments of `SamplingParams`."""
    loss: str
    """sigmoid | ipo"""
    beta: str
    """The strength of the preference, as an expression of the loop."""
    penalizes_cut: bool
    """Completions without an end lose `missing_eos_penalty`."""
    reference_model: str
    """The reference, as an expression of `train`."""

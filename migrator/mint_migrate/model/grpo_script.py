"""The converted group relative policy optimization as its templates need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.rollouts_script import RolloutsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss:
    """The loss, every choice made."""

    kind: str
    """`loss_type` of TRL: grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo, vespo; or gmpo."""
    builtin: str = ""
    """Loss of the server that equals it; empty where it is computed by the script."""
    level: str = "token"
    """token | sequence: what has a ratio."""
    bounds: tuple[str, str] = ("0.8", "1.2")
    """Lowest and highest ratio, as expressions; of gmpo their logarithms."""
    highest: str = ""
    """A further upper bound of the ratio (`delta`)."""
    beta: str = ""
    """Weight of the divergence from the reference; empty without one."""
    corrects_divergence: bool = False
    """The divergence is multiplied by the ratio."""
    stale_limit: str = ""
    """Completions with a negative advantage that have moved further are left out."""
    divisor: str = "tokens"
    """What one token is divided by: own (tokens of its completion, times completions) |
    micro_batch | longest (`max_completion_length` times completions) | tokens (of the step) |
    round (tokens of the round) | completions.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoScript(RolloutsScript):
    """Everything `grpo.py.j2` looks at."""

    template: ClassVar[str] = "grpo.py.j2"
    loss: PolicyLoss
    scale: str = "group"
    """By which standard deviation advantages are divided: group | batch | none."""
    aggregation: str = "sum_then_normalize"

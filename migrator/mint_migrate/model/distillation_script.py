"""Converted distillations as their templates need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.grpo_script import PolicyLoss
from mint_migrate.model.rollouts_script import RolloutsScript
from mint_migrate.model.script import EpochsScript


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Where the log-probabilities come from that are compared with the teacher's."""

    own: str = "sampler"
    """The student's: sampler | computed (by a pass of the sampling weights, at temperature 1)."""
    weighs: bool = False
    """A token is weighed by how likely it is at temperature 1 compared with when it was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationScript(RolloutsScript):
    """Everything `distillation.py.j2` looks at."""

    template: ClassVar[str] = "distillation.py.j2"
    figure: ClassVar[str] = "reverse_kl"
    divergence: Divergence


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniLlmScript(DistillationScript):
    """Everything `minillm.py.j2` looks at."""

    template: ClassVar[str] = "minillm.py.j2"
    loss: PolicyLoss
    """Only what a token is divided by."""
    advantage: bool
    """The policy loss has the log-ratios as advantages (`rkl_advantage`)."""
    discounted: bool
    """Later tokens count in them, discounted by `gamma`."""
    length_normalized: bool
    """That sum is divided by the sum of the discounts."""
    single_step: str
    """The divergence of each place is a loss besides, averaged over: micro_batches | step; empty
    without.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GkdScript(EpochsScript):
    """Everything `gkd.py.j2` looks at; what is fixed here the shared templates ask for."""

    template: ClassVar[str] = "gkd.py.j2"
    group: ClassVar[str] = "1"
    divergence: Divergence
    sampling: tuple[tuple[str, str], ...]
    """Arguments of `SamplingParams`."""
    max_length: str
    """The longest prompt with the answer of the data set, as an expression."""
    cut: str
    """Where longer ones are cut: start | end"""
    divisor: str
    """What the step is divided by: answers (tokens of the data set's) | step (sampled tokens) |
    micro_batch (the same, then the mean over micro-batches)
    """

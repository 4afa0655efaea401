"""T1: the yardstick. A policy-gradient step on sequences of which nearly half carries a loss."""

from __future__ import annotations

from benchmarks.cases import Case
from benchmarks.cases.training import train_outcome
from benchmarks.report import Outcome
from benchmarks.setting import Setting
from benchmarks.workloads import TrainWork, uniform_lengths

_PROMPT_FRACTION = 586 / 1063


def work(setting: Setting) -> TrainWork:
    """Return 64 sequences of 20 to 160 tokens; for a published shape, 256 of 1063."""
    lengths = uniform_lengths(64, 20, 160, seed=0) if setting.model.is_tiny else (1063,) * 256
    return TrainWork(
        lengths=lengths,
        vocab_size=setting.model.vocab_size,
        loss_fn="importance_sampling",
        prompt_fraction=_PROMPT_FRACTION,
    )


def run(setting: Setting) -> Outcome:
    """Measure the step beside SkyRL and the padded loop."""
    return train_outcome(setting, work(setting), ratio_targets={"skyrl": 3.0, "peft": 2.0})


CASE = Case(
    name="T1",
    title="training step, importance sampling",
    run=run,
    peers=("skyrl", "peft"),
)

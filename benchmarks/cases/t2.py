"""T2: sequences of very different lengths, where padding costs most."""

from __future__ import annotations

from benchmarks.cases import Case
from benchmarks.cases.training import train_outcome
from benchmarks.report import Outcome
from benchmarks.setting import Setting
from benchmarks.workloads import TrainWork, skewed_lengths


def work(setting: Setting) -> TrainWork:
    """Return 128 sequences of 8 to 256 tokens; for a published shape, 512 of up to 8192."""
    lengths = (
        skewed_lengths(128, 32, 8, 256, seed=0)
        if setting.model.is_tiny
        else skewed_lengths(512, 300, 8, 8192, seed=0)
    )
    return TrainWork(lengths=lengths, vocab_size=setting.model.vocab_size)


def run(setting: Setting) -> Outcome:
    """Measure the step beside SkyRL and the padded loop."""
    return train_outcome(setting, work(setting), ratio_targets={"skyrl": 3.0, "peft": 2.0})


CASE = Case(
    name="T2",
    title="training step, skewed lengths",
    run=run,
    peers=("skyrl", "peft"),
)

"""What T1 and T2 share: one pass and one optimizer step, submitted together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.limits import training_flops
from benchmarks.measure import Figure, Measure, interleave
from benchmarks.processes import Worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import PEFT, peft_side, server_sides
from benchmarks.workloads import TrainWork

PEFT_MICRO_BATCH = 8
"""The usual default of trainers, and faster here than 1, 4, 16 and 64."""


def train_outcome(
    setting: Setting, work: TrainWork, *, ratio_targets: Mapping[str, float]
) -> Outcome:
    """Measure tokens per second of a training step on every side."""
    sides = server_sides(setting, _over_http(work))
    if setting.wants(PEFT):
        sides.append(peft_side(setting, _in_loop(work)))
    series = interleave(sides, repeats=setting.repeats)
    flops = training_flops(
        setting.model, work.lengths, num_active=work.num_active, rank=setting.rank
    )
    figure = Figure(
        name="training",
        unit="tokens/s",
        ratio_targets=ratio_targets,
        limit=work.num_tokens * setting.machine.flops / flops,
    )
    lengths = f"{min(work.lengths)} to {max(work.lengths)} tokens, {work.num_tokens} in all"
    return Outcome(
        workload=(
            f"{len(work.lengths)} datums of {lengths}; {work.loss_fn}; rank {setting.rank};"
            " forward_backward and optim_step submitted together"
        ),
        rows=rows_of(series, [figure]),
    )


def _over_http(work: TrainWork) -> Callable[[Worker], Measure]:
    def opened(worker: Worker) -> Measure:
        worker.call("prepare", name="work", work=work.to_json())
        return lambda: {"training": work.num_tokens / worker.call("train_step", name="work")}

    return opened


def _in_loop(work: TrainWork) -> Callable[[Worker], Measure]:
    def opened(worker: Worker) -> Measure:
        worker.call("prepare", work=work.to_json(), micro_batch=PEFT_MICRO_BATCH)
        return lambda: {"training": work.num_tokens / worker.call("train_step")}

    return opened

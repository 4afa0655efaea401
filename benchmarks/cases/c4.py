"""C4: gradients of an adapter beside a reference in float64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS, PEFT
from benchmarks.workloads import TrainWork, uniform_lengths

_TARGETS = {"float32": 1e-5, "bfloat16": 1e-2}


def run(setting: Setting) -> Outcome:
    """Measure the relative error of ours, and of peft in float32."""
    work = TrainWork(
        lengths=uniform_lengths(8, 8, 128, seed=0), vocab_size=setting.model.vocab_size
    ).to_json()

    def side(name: str) -> Side:
        @contextmanager
        def open_side() -> Iterator[Measure]:
            with running_worker("engine", OMP_NUM_THREADS=str(setting.threads)) as worker:
                worker.call(
                    "load", folder=str(setting.folder), device=setting.device, dtype=setting.dtype
                )
                worker.call("create", model_id="one", rank=setting.rank, seed=0, steps=3, work=work)
                yield lambda: {
                    "error": worker.call("gradient_errors", model_id="one", work=work)[name]
                }

        return Side(name=name, open=open_side)

    series = interleave([side(OURS), side(PEFT)], repeats=1, warmups=1)
    figure = Figure(
        name="error", unit="relative", more_is_better=False, target=_TARGETS[setting.dtype]
    )
    return Outcome(
        workload="8 datums of 8 to 128 tokens, cross_entropy, after 3 training steps",
        rows=rows_of(series, [figure]),
        notes=("The reference is transformers and peft in float64, with the same adapter.",),
    )


CASE = Case(name="C4", title="gradients against float64", run=run, peers=(PEFT,))

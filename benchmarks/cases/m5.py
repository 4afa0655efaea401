"""M5: what a datum gets alone, and in whatever company the engine puts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS
from benchmarks.workloads import TrainWork, skewed_lengths

_RANKS = (4, 8, 16, 32)
_TARGET = 1e-5


def run(setting: Setting) -> Outcome:
    """Measure differences of log-probabilities and gradients over many mixes."""
    vocab = setting.model.vocab_size
    works = [
        TrainWork(
            lengths=(33, *skewed_lengths(12, 32, 2, 256, seed=seed)),
            vocab_size=vocab,
            loss_fn="cross_entropy" if seed % 2 == 0 else "importance_sampling",
            seed=seed,
        ).to_json()
        for seed in range(6)
    ]

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with running_worker("engine", OMP_NUM_THREADS=str(setting.threads)) as worker:
            worker.call(
                "load", folder=str(setting.folder), device=setting.device, dtype=setting.dtype
            )
            others = [f"other-{rank}" for rank in _RANKS]
            for name, rank in zip(("measured", *others), (setting.rank, *_RANKS), strict=True):
                worker.call("create", model_id=name, rank=rank, seed=rank, steps=2, work=works[0])
            yield lambda: dict(
                worker.call("mixes", model_id="measured", others=others, works=works)
            )

    series = interleave(
        [Side(name=OURS, open=open_side)], repeats=min(2, setting.repeats), warmups=1
    )
    is_exact = setting.dtype == "float32"
    figures = [
        Figure(name=name, unit=unit, more_is_better=False, target=_TARGET if is_exact else None)
        for name, unit in (("logprobs", "nats"), ("gradient", "relative"))
    ]
    figures.append(Figure(name="steps in a pass", unit="steps", target=2.0))
    return Outcome(
        workload=(
            "1 datum of 33 tokens alone; between 12 datums of its model without a loss; and beside"
            f" steps of 4 other models of ranks {_RANKS} and two losses, in 6 mixes of each kind"
        ),
        rows=rows_of(series, figures),
        notes=(
            "Differences are the largest over all mixes. Where few steps share a pass they prove"
            " little.",
        ),
        seeds=tuple(range(6)),
    )


CASE = Case(name="M5", title="results do not depend on company", run=run)

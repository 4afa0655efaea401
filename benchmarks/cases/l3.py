"""L3: decoding the body of a large step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS
from benchmarks.workloads import TrainWork

_PEERS = ("json and numpy", "pydantic")


def run(setting: Setting) -> Outcome:
    """Measure JSON and protobuf to arrays, beside the standard library and pydantic."""
    work = TrainWork(
        lengths=(1063,) * 256,
        vocab_size=151_936,
        loss_fn="importance_sampling",
        prompt_fraction=586 / 1063,
    )
    sizes: dict[str, int] = {}

    def side(name: str, ways: dict[str, str]) -> Side:
        @contextmanager
        def open_side() -> Iterator[Measure]:
            with running_worker("decoding") as worker:
                sizes.update(worker.call("prepare", work=work.to_json()))
                yield lambda: {
                    figure: 1000 * worker.call("decode", way=way) for figure, way in ways.items()
                }

        return Side(name=name, open=open_side)

    sides = [side(OURS, {"json": "ours json", "protobuf": "ours protobuf"})]
    sides += [side(name, {"json": name}) for name in _PEERS]
    series = interleave(sides, repeats=setting.repeats)
    figures = [
        Figure(name="json", unit="ms", more_is_better=False, target=220.0),
        Figure(name="protobuf", unit="ms", more_is_better=False, target=40.0),
    ]
    return Outcome(
        workload=(
            f"256 datums of 1063 tokens, importance_sampling, one core: {sizes['json'] / 1e6:.1f}"
            f" MB of JSON, {sizes['protobuf'] / 1e6:.1f} MB of protobuf"
        ),
        rows=rows_of(series, figures),
        details=dict(sizes),
    )


CASE = Case(name="L3", title="decoding a large body", run=run, peers=_PEERS)

"""L2: thousands of futures that are waited for, and what else is asked meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.servers import Server
from benchmarks.setting import Setting
from benchmarks.sides import IDLE, OURS
from benchmarks.workloads import TrainWork

NUM_POLLS = 2048
_PROBES = 100
_LATENCIES = {
    "heartbeat p50": None,
    "heartbeat p99": 10.0,
    "submit p50": None,
    "submit p99": 100.0,
}


def run(setting: Setting) -> Outcome:
    """Measure ours while it draws, and ours over an engine that holds everything."""
    work = TrainWork(lengths=(32,), vocab_size=setting.model.vocab_size)
    sides = [
        _side(OURS, lambda: servers.runtime(setting), setting, work, num_tokens=64),
        _side(IDLE, lambda: servers.idle_runtime(setting), setting, work, num_tokens=1),
    ]
    series = interleave(sides, repeats=setting.repeats, warmups=1)
    figures = [
        Figure(name=name, unit="ms", more_is_better=False, target=target)
        for name, target in _LATENCIES.items()
    ]
    figures.append(Figure(name="errors", unit="requests", more_is_better=False, target=0.0))
    waiting = {
        name: [round(value) for value in each.values("waiting_after_probes")]
        for name, each in series.items()
    }
    return Outcome(
        workload=(
            f"{NUM_POLLS} sampling requests, each with a long poll of its own over a connection of"
            f" its own; {_PROBES} heartbeats and submissions of one pass while they wait"
        ),
        rows=rows_of(series, figures),
        notes=(
            "`idle` holds every request until all probes are done; ours draws 64 tokens for each"
            " meanwhile. The load comes from the same two cores.",
        ),
        details={
            "still_waiting_after_probes": waiting,
            "rounds": {name: [dict(r) for r in each.rounds] for name, each in series.items()},
        },
    )


def _side(
    name: str,
    server: Callable[[], AbstractContextManager[Server]],
    setting: Setting,
    work: TrainWork,
    *,
    num_tokens: int,
) -> Side:
    @contextmanager
    def open_side() -> Iterator[Measure]:
        with server() as running, running_worker("wire") as wire:
            wire.call("connect", url=running.url, base_model=running.base_model, rank=setting.rank)
            yield lambda: dict(
                wire.call(
                    "long_polls",
                    num=NUM_POLLS,
                    work=work.to_json(),
                    num_tokens=num_tokens,
                    held=name == IDLE,
                    probes=_PROBES,
                )
            )

    return Side(name=name, open=open_side)


CASE = Case(name="L2", title="2,048 long polls", run=run, peers=(IDLE,))

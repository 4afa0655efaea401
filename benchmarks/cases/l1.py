"""L1: what one awaited request costs beyond the client itself."""

from __future__ import annotations

import statistics
from dataclasses import replace

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Series, interleave, percentile
from benchmarks.processes import Worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import IDLE, OURS, SKYRL, STUB, server_sides, service_side
from benchmarks.workloads import TrainWork

_COUNT = 40
_LENGTH = 32
_TARGET_MS = 8.0
_BEYOND = "request beyond the stub"


def run(setting: Setting) -> Outcome:
    """Measure awaited passes and optimizer steps on ours and on the other servers."""
    work = TrainWork(lengths=(_LENGTH,), vocab_size=setting.model.vocab_size)

    def opened(worker: Worker) -> Measure:
        worker.call("prepare", name="one", work=work.to_json())

        def measure() -> dict[str, float]:
            seconds = worker.call("round_trips", name="one", count=_COUNT)
            # A pass and a step differ tenfold, so a median over both would fall between the two.
            pairs = zip(seconds["forward_backward"], seconds["optim_step"], strict=True)
            means = [(one + other) / 2 for one, other in pairs]
            found = {f"{name} p50": statistics.median(each) for name, each in seconds.items()}
            found |= {"request p50": statistics.median(means), "request p99": percentile(means, 99)}
            return {name: 1000 * value for name, value in found.items()}

        return measure

    sides = server_sides(setting, opened)
    sides += [
        service_side(IDLE, lambda: servers.idle_runtime(setting), setting, opened),
        service_side(STUB, lambda: servers.stub(setting), setting, opened),
    ]
    series = interleave(sides, repeats=setting.repeats)
    series = {**series, OURS: _beyond_stub(series[OURS], series[STUB])}
    names = ("request p50", "request p99", "forward_backward p50", "optim_step p50")
    figures = [
        Figure(name=_BEYOND, unit="ms", more_is_better=False, target=_TARGET_MS),
        *(Figure(name=name, unit="ms", more_is_better=False) for name in names),
    ]
    return Outcome(
        workload=(
            f"1 datum of {_LENGTH} tokens; {_COUNT} awaited forward_backward and {_COUNT} awaited"
            " optim_step in turn, each round"
        ),
        rows=rows_of(series, figures),
        notes=(
            "A request is the mean of a pass and a step that follow each other.",
            "`idle` is our server over an engine that computes nothing.",
        ),
    )


def _beyond_stub(ours: Series, stub: Series) -> Series:
    """Return `ours` with one figure more: what a request takes longer than on the stub."""
    rounds = tuple(
        {**mine, _BEYOND: mine["request p50"] - theirs["request p50"]}
        for mine, theirs in zip(ours.rounds, stub.rounds, strict=True)
    )
    return replace(ours, rounds=rounds)


CASE = Case(name="L1", title="round trip of one datum", run=run, peers=(SKYRL, IDLE, STUB))

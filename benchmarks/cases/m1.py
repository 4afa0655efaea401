"""M1: many small clients at once, each with a model of its own, beside the same clients in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import Worker, running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.servers import Server
from benchmarks.setting import Setting
from benchmarks.sides import OURS, SKYRL
from benchmarks.workloads import TrainWork

NUM_CLIENTS = 16
_STEPS = 6
_SIZES = (64, 256)
_SERIAL = "in turn"
_SDK_PROCESSES = 2


def run(setting: Setting) -> Outcome:
    """Measure steps per second of all clients together, over sockets and through the client."""
    sides = [_side(OURS, lambda: servers.runtime(setting), setting, together=True)]
    # A server of its own, so that no side waits for what the other has queued.
    sides.append(_side(_SERIAL, lambda: servers.runtime(setting), setting, together=False))
    if setting.wants(SKYRL):
        sides.append(
            _side(
                SKYRL,
                lambda: servers.skyrl(setting, adapters=NUM_CLIENTS + 2),
                setting,
                together=True,
            )
        )
    series = interleave(sides, repeats=setting.repeats)
    figures = [
        Figure(name=name, unit="steps/s", ratio_targets={_SERIAL: 4.0} if "64" in name else {})
        for name in series[OURS].rounds[0]
    ]
    return Outcome(
        workload=(
            f"{NUM_CLIENTS} clients, each looping forward_backward of one datum and optim_step"
            f" {_STEPS} times; `{_SERIAL}`: the same clients on the same server, one at a time"
        ),
        rows=rows_of(series, figures),
        notes=(
            "`wire` drives the server over plain sockets from one process; `client` through the"
            f" published client in {_SDK_PROCESSES} processes, whose own work shares the cores.",
        ),
    )


def _side(
    name: str,
    server: Callable[[], AbstractContextManager[Server]],
    setting: Setting,
    *,
    together: bool,
) -> Side:
    method = "run_together" if together else "take_turns"

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with (
            server() as running,
            running_worker("wire") as wire,
            _client_workers() as workers,
        ):
            fields = {"url": running.url, "base_model": running.base_model, "rank": setting.rank}
            wire.call("connect", **fields, num_clients=NUM_CLIENTS)
            share = NUM_CLIENTS // _SDK_PROCESSES
            for worker in workers:
                worker.call("connect", **fields, num_clients=share)
            yield lambda: _figures(setting, wire, workers, method)

    return Side(name=name, open=open_side)


@contextmanager
def _client_workers() -> Iterator[list[Worker]]:
    with running_worker("client") as first, running_worker("client") as second:
        yield [first, second]


def _figures(
    setting: Setting, wire: Worker, workers: list[Worker], method: str
) -> dict[str, float]:
    total = NUM_CLIENTS * _STEPS
    found = {}
    for size in _SIZES:
        work = TrainWork(lengths=(size,), vocab_size=setting.model.vocab_size).to_json()
        found[f"wire, {size} tokens"] = total / wire.call(method, work=work, steps=_STEPS)
        for worker in workers:
            worker.call("prepare", name="one", work=work)
        found[f"client, {size} tokens"] = total / _client_seconds(workers, method)
    return found


def _client_seconds(workers: list[Worker], method: str) -> float:
    """Return the time until all are done: at once, or one process after the other."""
    arguments = {"name": "one", "steps": _STEPS}
    if method == "take_turns":
        return sum(float(worker.call(method, **arguments)) for worker in workers)
    for worker in workers:
        worker.send(method, **arguments)
    return max([float(worker.receive()) for worker in workers])


CASE = Case(name="M1", title="many small clients", run=run, peers=(_SERIAL, SKYRL))

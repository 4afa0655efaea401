"""The soak: four clients for a long time. Nothing may fail, and nothing may grow."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.growth import growth
from benchmarks.measure import Figure, Series
from benchmarks.processes import Worker, num_open_files, resident_bytes, running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS

_NUM_CLIENTS = 4
_NUM_RECORDS = 60
_MIB = 1 << 20
_MEMORY_TARGET_MIB = 32.0
_FILES_TARGET = 8.0


def run(setting: Setting) -> Outcome:
    """Let the clients work; record the server's memory and open files all the while."""
    start = time.monotonic()
    slice_s = setting.minutes * 60 / _NUM_RECORDS
    counts: Counter[str] = Counter()
    errors: list[str] = []
    records: list[dict[str, float]] = []
    with ExitStack() as stack:
        server = stack.enter_context(servers.runtime(setting))
        workers = [stack.enter_context(running_worker("soaking")) for _ in range(_NUM_CLIENTS)]
        _connect(workers, server, setting)
        ready_s = time.monotonic() - start
        for _ in range(_NUM_RECORDS):
            for worker in workers:
                worker.send("work_for", seconds=slice_s)
            for worker in workers:
                done = worker.receive()
                counts.update(done["counts"])
                errors += done["errors"]
            records.append(
                {
                    "minutes": (time.monotonic() - start) / 60,
                    "memory": resident_bytes(server.pid) / _MIB,
                    "open files": float(num_open_files(server.pid)),
                    "operations": float(counts.total()),
                }
            )
    return Outcome(
        workload=(
            f"{_NUM_CLIENTS} clients for {setting.minutes:g} minutes: two losses, publish, sample,"
            " and every twentieth round save, load with optimizer, delete, and a refused request"
        ),
        rows=rows_of({OURS: _series(records, len(errors), ready_s)}, _figures()),
        notes=(
            "Growth is the rise of a straight line through the last three quarters of the time.",
        ),
        details={"counts": dict(counts), "errors": errors[:20], "records": records},
    )


def _connect(workers: list[Worker], server: servers.Server, setting: Setting) -> None:
    for seed, worker in enumerate(workers):
        worker.call(
            "connect",
            url=server.url,
            base_model=server.base_model,
            rank=setting.rank,
            seed=seed,
            vocab_size=setting.model.vocab_size,
        )


def _series(records: list[dict[str, float]], num_errors: int, ready_s: float) -> Series:
    times = [each["minutes"] for each in records]
    last = records[-1]
    found: dict[str, Any] = {
        "errors": float(num_errors),
        "memory growth": max(0.0, growth(times, [each["memory"] for each in records])),
        "open files growth": max(0.0, growth(times, [each["open files"] for each in records])),
        "memory": last["memory"],
        "operations": last["operations"],
    }
    return Series(cold_start_s=ready_s, rounds=(found,))


def _figures() -> list[Figure]:
    bounded = {
        "errors": ("", 0.0),
        "memory growth": ("MiB", _MEMORY_TARGET_MIB),
        "open files growth": ("files", _FILES_TARGET),
    }
    figures = [
        Figure(name=name, unit=unit, more_is_better=False, target=target)
        for name, (unit, target) in bounded.items()
    ]
    figures.append(Figure(name="memory", unit="MiB", more_is_better=False))
    figures.append(Figure(name="operations", unit="operations"))
    return figures


CASE = Case(name="soak", title="four clients for a long time", run=run)

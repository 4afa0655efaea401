"""The sides that several cases share: a server with the published client, and the padded loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from benchmarks import servers
from benchmarks.measure import Measure, Side
from benchmarks.processes import Worker, running_worker
from benchmarks.servers import Server
from benchmarks.setting import Setting

OURS, SKYRL, PEFT, STUB, IDLE = "ours", "skyrl", "peft", "stub", "idle"
Opened = Callable[[Worker], Measure]
"""Prepares a worker once, and returns what is measured."""


def service_side(
    name: str,
    server: Callable[[], AbstractContextManager[Server]],
    setting: Setting,
    opened: Opened,
    *,
    num_clients: int = 1,
) -> Side:
    """Return the side of one server, driven by the published client in a process of its own."""

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with server() as running, running_worker("client") as worker:
            worker.call(
                "connect",
                url=running.url,
                base_model=running.base_model,
                rank=setting.rank,
                num_clients=num_clients,
            )
            yield opened(worker)

    return Side(name=name, open=open_side)


def server_sides(setting: Setting, opened: Opened) -> list[Side]:
    """Return ours and, where it is wanted, SkyRL's."""
    sides = [service_side(OURS, lambda: servers.runtime(setting), setting, opened)]
    if setting.wants(SKYRL):
        sides.append(service_side(SKYRL, lambda: servers.skyrl(setting), setting, opened))
    return sides


def peft_side(setting: Setting, opened: Opened, *, name: str = PEFT) -> Side:
    """Return the side of transformers and peft in a process without a server."""

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with running_worker("peft_loop", OMP_NUM_THREADS=str(setting.threads)) as worker:
            worker.call(
                "load",
                folder=str(setting.folder),
                rank=setting.rank,
                device=setting.device,
                dtype=setting.dtype,
            )
            yield opened(worker)

    return Side(name=name, open=open_side)


def seconds(name: str, value: float) -> Mapping[str, float]:
    """Return one figure."""
    return {name: value}

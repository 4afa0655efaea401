"""Named checks of a client, and the loop that runs them and says how each went.

The modules beside this one register checks. They run in a child process whose environment holds
one published client and nothing of this repository, so they import neither the packages here nor
the client: what they need is handed to them as a `World`. The test process imports them too, to
learn the names.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from acceptance.programs.world import World

MINT_022 = "mint022"
TINKER_038 = "tinker038"
MINT_038 = "mint038"
ALL = frozenset({MINT_022, TINKER_038, MINT_038})
"""The clients, by the name of the environment that has them."""
NEW = frozenset({TINKER_038, MINT_038})
OLD = frozenset({MINT_022})
MINT = frozenset({MINT_022, MINT_038})

# A client repeats a request for minutes when a server misbehaves; a check takes seconds.
_LIMIT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One claim about what a client gets from the server."""

    name: str
    run: Callable[[World], None]
    clients: frozenset[str]


CHECKS: dict[str, Check] = {}


def check(clients: frozenset[str] = ALL) -> Callable[[Callable[[World], None]], None]:
    """Register a function as a check of these clients; its name is the claim."""

    def register(function: Callable[[World], None]) -> None:
        add(function.__name__, function, clients)

    return register


def add(name: str, run: Callable[[World], None], clients: frozenset[str] = ALL) -> None:
    """Register one check."""
    assert name not in CHECKS, f"two checks are called {name}"
    CHECKS[name] = Check(name=name, run=run, clients=clients)


def names(client: str) -> list[str]:
    """Return the names of the checks of one client, in the order they run."""
    return [check.name for check in CHECKS.values() if client in check.clients]


def run(world: World, wanted: Iterable[str], answers: TextIO) -> None:
    """Run checks and write one JSON line for each: `{"check", "ok", "detail"}`."""
    for name in wanted:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name}\n")
        try:
            with _limited(name):
                try:
                    CHECKS[name].run(world)
                finally:
                    world.release()
            answer = {"check": name, "ok": True, "detail": ""}
        except Exception:
            answer = {"check": name, "ok": False, "detail": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


@contextmanager
def _limited(name: str) -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError(f"{name} took longer than {_LIMIT_S} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)


@contextmanager
def refused(*kinds: type[Exception], saying: str = "") -> Iterator[None]:
    """Expect one of these errors, with this text in its message.

    Raises:
        AssertionError: there was none, or it says something else.
    """
    said = None
    try:
        yield
    except kinds as error:
        said = f"{type(error).__name__}: {error}"
    assert said is not None, f"expected one of {[kind.__name__ for kind in kinds]}"
    assert saying in said, f"does not say {saying!r}: {said}"


def close(found: Iterable[float], expected: Iterable[float], tolerance: float = 1e-5) -> None:
    """Assert that numbers agree to `tolerance` times the larger of 1 and the expected size.

    1e-5 is what float32 leaves when sums are taken in another order.
    """
    left, right = list(found), list(expected)
    assert len(left) == len(right), f"{len(left)} numbers, expected {len(right)}"
    off = [
        (index, a, b)
        for index, (a, b) in enumerate(zip(left, right, strict=True))
        if not abs(a - b) <= tolerance * max(1.0, abs(b))
    ]
    assert not off, f"(index, found, expected): {off[:5]}"

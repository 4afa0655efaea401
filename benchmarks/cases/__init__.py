"""Every case, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.report import Outcome
from benchmarks.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One benchmark."""

    name: str
    title: str
    run: Callable[[Setting], Outcome]
    peers: tuple[str, ...] = ()


def all_cases() -> dict[str, Case]:
    """Return the cases by name. Imported late: a list of names needs no torch."""
    from benchmarks.cases import (
        c1,
        c4,
        g1,
        g2,
        g3,
        g4,
        g5,
        g6,
        l1,
        l2,
        l3,
        m1,
        m2,
        m5,
        r1,
        s1,
        s2,
        s3,
        soak,
        t1,
        t2,
        t4,
    )

    modules = (
        t1,
        t2,
        t4,
        m1,
        m2,
        m5,
        l1,
        l2,
        l3,
        s1,
        s2,
        s3,
        r1,
        c1,
        c4,
        g1,
        g2,
        g3,
        g4,
        g5,
        g6,
        soak,
    )
    return {module.CASE.name: module.CASE for module in modules}

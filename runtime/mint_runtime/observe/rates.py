"""Counters that only grow, turned into rates over the last minutes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_SAMPLES = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What happened between two readings, per second."""

    time: float
    """End of the interval, on the clock of the readings."""
    trained: float
    sampled: float


class Rates:
    """Readings of two counters at intervals of the caller's choice; the latest are kept."""

    def __init__(self, max_samples: int = MAX_SAMPLES) -> None:
        self._last: tuple[float, int, int] | None = None
        self._rates: deque[Rate] = deque(maxlen=max_samples)

    def read(self, time: float, trained: int, sampled: int) -> None:
        """Note both counters at `time` seconds; a reading at the same time is ignored."""
        if self._last is not None:
            before, trained_before, sampled_before = self._last
            seconds = time - before
            if seconds <= 0:
                return
            self._rates.append(
                Rate(
                    time=time,
                    trained=max(0, trained - trained_before) / seconds,
                    sampled=max(0, sampled - sampled_before) / seconds,
                )
            )
        self._last = (time, trained, sampled)

    def rates(self) -> tuple[Rate, ...]:
        """Return the latest rates, oldest first."""
        return tuple(self._rates)

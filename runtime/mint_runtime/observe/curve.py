"""A curve of bounded size that always covers the whole run.

While there is room every value is a point. When the room is used up, neighbours are averaged in
pairs, and from then on twice as many values make one point. So a curve of `n` points costs the same
after a hundred steps as after a million, and never forgets the beginning.
"""

from __future__ import annotations

from math import isfinite


class Curve:
    """Values in order, as at most `max_points` averages of equally many values each."""

    def __init__(self, max_points: int = 240) -> None:
        """Start empty.

        Raises:
            ValueError: `max_points` is odd or below 2, so its points could not be paired.
        """
        if max_points < 2 or max_points % 2:
            raise ValueError(f"`max_points` is {max_points}; it has to be even and at least 2")
        self._max_points = max_points
        self._stride = 1
        self._points: list[float] = []
        self._pending: list[float] = []

    def add(self, value: float) -> None:
        """Append a value; one that is not finite has no place on a curve and is left out."""
        if not isfinite(value):
            return
        if len(self._points) == self._max_points:
            self._halve()
        self._pending.append(value)
        if len(self._pending) == self._stride:
            self._points.append(sum(self._pending) / self._stride)
            self._pending.clear()

    def points(self) -> tuple[tuple[float, float], ...]:
        """Return (place, value) pairs: the place is the middle of the values that were averaged.

        Places count from 1. Values that do not fill a point yet are its last.
        """
        middle = (self._stride + 1) / 2
        full = tuple(
            (index * self._stride + middle, value) for index, value in enumerate(self._points)
        )
        if not self._pending:
            return full
        place = len(self._points) * self._stride + (len(self._pending) + 1) / 2
        return (*full, (place, sum(self._pending) / len(self._pending)))

    def _halve(self) -> None:
        pairs = zip(self._points[::2], self._points[1::2], strict=True)
        self._points = [(one + other) / 2 for one, other in pairs]
        self._stride *= 2

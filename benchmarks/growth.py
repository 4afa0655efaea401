"""Whether something that was recorded over time keeps growing."""

from __future__ import annotations

from collections.abc import Sequence

_WARM_UP = 0.25
"""Share of the records that is ignored: caches and pools fill in the beginning."""
_FEWEST = 8


def growth(times: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much a straight line through the later values rises over their time.

    Raises:
        ValueError: There are too few records to tell.
    """
    if len(times) < _FEWEST:
        raise ValueError(f"{len(times)} records are too few to see growth; run for longer")
    start = int(len(times) * _WARM_UP)
    late_times, late_values = times[start:], values[start:]
    mean_time = sum(late_times) / len(late_times)
    mean_value = sum(late_values) / len(late_values)
    above = sum(
        (time - mean_time) * (value - mean_value)
        for time, value in zip(late_times, late_values, strict=True)
    )
    below = sum((time - mean_time) ** 2 for time in late_times)
    return above / below * (late_times[-1] - late_times[0])

"""Working on several files at once, where that pays.

Processes, because parsing holds the interpreter's lock. They are forked where the system can do it,
after what every one of them needs was imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")

BYTES_PER_WORKER = 24_000
"""Of scripts to migrate. Starting a worker takes as long as migrating about half of that."""


def num_workers(sizes: Sequence[int], wanted: int | None) -> int:
    """Return how many processes to use; 1 means this one.

    Args:
        sizes: bytes of each file that has to be parsed.
        wanted: what the user asked for; None leaves it to the amount of work.
    """
    most = min(len(sizes), wanted if wanted is not None else num_cores())
    return max(1, most if wanted is not None else min(most, sum(sizes) // BYTES_PER_WORKER))


def num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[In], Out],
    items: Sequence[In],
    sizes: Sequence[int],
    *,
    workers: int,
    prepare: Callable[[], None],
    advance: Callable[[], None],
) -> Iterator[Out]:
    """Yield the result of *function* for each item, in their order.

    Args:
        function: what to do; with several workers it, the items and the results must pickle.
        items: what to do it with.
        sizes: how much work each is; the largest are begun first.
        workers: processes; with 1 an item is worked on when its result is asked for.
        prepare: imports what *function* needs, so that workers do not each do it.
        advance: called once for every item that is done.
    """
    if workers == 1:
        for item in items:
            result = function(item)
            advance()
            yield result
        return
    from concurrent.futures import ProcessPoolExecutor

    prepare()
    with ProcessPoolExecutor(max_workers=workers) as pool:
        order = sorted(range(len(items)), key=lambda index: (-sizes[index], index))
        futures = {index: pool.submit(function, items[index]) for index in order}
        for future in futures.values():
            future.add_done_callback(partial(_advance, advance))
        for index in range(len(items)):
            yield futures.pop(index).result()


def _advance(advance: Callable[[], None], _future: object) -> None:
    advance()

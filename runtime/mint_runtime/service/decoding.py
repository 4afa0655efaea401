"""Where bodies are decoded: in the order of arrival, so that operations are queued in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
# Decoded in well under a millisecond, which is less than the way to another thread and back.
SMALL_BYTES = 1 << 14


class Decoder:
    """One thread for large bodies. A small one is decoded at once when none is before it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._num_pending = 0

    async def run(self, work: Callable[[], T], num_bytes: int) -> T:
        """Run `work`, which decodes a body of `num_bytes`, after all that came before it."""
        if self._num_pending == 0 and num_bytes <= SMALL_BYTES:
            return work()
        self._num_pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._num_pending -= 1

    def close(self) -> None:
        """Finish the running body, drop those that wait."""
        self._thread.shutdown(wait=True, cancel_futures=True)

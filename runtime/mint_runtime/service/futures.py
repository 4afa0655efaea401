"""Results that do not exist yet: ids, waiting, and keeping what was fetched for a second asking.

A future resolves when its operation ends, by an event; nothing polls. All methods belong to the
event loop.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from mint_runtime.errors import NotFound
from mint_runtime.wire import codec
from mint_runtime.wire.messages import JsonResult, OperationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An operation that failed: the sentence and category a client reads."""

    error: str
    category: str


@dataclass(slots=True)
class _Entry:
    done: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: OperationResult | Failure | None = None
    bodies: dict[str, asyncio.Task[codec.Encoded]] = field(default_factory=dict)


class Futures:
    """The table of all operations whose result can still be fetched."""

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime_s = lifetime_s
        # Ids of different runs of the server differ, so an id from before a restart is never taken
        # for a new one.
        self._run = secrets.token_hex(4)
        self._count = 0
        self._entries: dict[str, _Entry] = {}
        self._finished: OrderedDict[str, float] = OrderedDict()
        self._closing = asyncio.Event()

    def open(self) -> str:
        """Return the id of a new operation."""
        self._forget_old()
        self._count += 1
        request_id = f"{self._run}-{self._count}"
        self._entries[request_id] = _Entry()
        return request_id

    def resolve(self, request_id: str, outcome: OperationResult | Failure) -> None:
        """Store the outcome of an operation and wake everyone who waits for it."""
        entry = self._entries[request_id]
        entry.outcome = outcome
        self._finished[request_id] = time.monotonic()
        entry.done.set()

    async def wait(self, request_id: str, timeout_s: float) -> Failure | OperationResult | None:
        """Return the outcome, or None when it does not exist within `timeout_s`.

        Raises:
            NotFound: There is no such operation, or its result was dropped.
        """
        entry = self._entry(request_id)
        if not entry.done.is_set():
            await self._until_done_or_closing(entry, timeout_s)
        return entry.outcome

    async def body(self, request_id: str, accept: str) -> codec.Encoded:
        """Return an existing result as bytes, encoded once per media type, off the event loop."""
        entry = self._entry(request_id)
        result = entry.outcome
        assert result is not None
        assert not isinstance(result, Failure)
        media_type = codec.wanted_media_type(accept, result)
        if isinstance(result, JsonResult):
            return codec.encode(result, media_type)
        if media_type not in entry.bodies:
            entry.bodies[media_type] = asyncio.create_task(
                asyncio.to_thread(codec.encode, result, media_type)
            )
        # A client that hangs up cancels its own wait, not the encoding that others wait for.
        return await asyncio.shield(entry.bodies[media_type])

    def close(self) -> None:
        """Let everyone who waits go, with no outcome."""
        self._closing.set()

    async def _until_done_or_closing(self, entry: _Entry, timeout_s: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (entry.done, self._closing)]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _entry(self, request_id: str) -> _Entry:
        entry = self._entries.get(request_id)
        if entry is not None:
            return entry
        if request_id.partition("-")[0] != self._run:
            raise NotFound(
                f"request `{request_id}` is not known to this run of the server: it was lost when"
                " the server restarted, and the operation has to be sent again"
            )
        raise NotFound(
            f"request `{request_id}` is not known: its result was dropped"
            f" {self._lifetime_s:.0f} seconds after it was ready, or it never existed"
        )

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._lifetime_s
        while self._finished:
            request_id, finished = next(iter(self._finished.items()))
            if finished > oldest:
                return
            del self._finished[request_id], self._entries[request_id]

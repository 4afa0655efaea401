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

_REFETCH_S = 120.0
# Above this many numbers, encoding is worth the way to another thread and back.
_MANY_VALUES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An operation that failed: the sentence and category a client reads."""

    error: str
    category: str


@dataclass(slots=True)
class _Entry:
    outcome: OperationResult | Failure | None = None
    waiters: set[asyncio.Future[None]] = field(default_factory=set)
    bodies: dict[str, asyncio.Future[codec.Encoded]] = field(default_factory=dict)


class Futures:
    """The table of all operations whose result can still be fetched.

    A result is kept for `lifetime_s` after it exists, and for `refetch_s` after it was first
    fetched: long enough for a client that lost the answer on its way.
    """

    def __init__(self, lifetime_s: float, refetch_s: float = _REFETCH_S) -> None:
        # Ids of different runs of the server differ, so an id from before a restart is never taken
        # for a new one.
        self._run = secrets.token_hex(4)
        self._count = 0
        self._entries: dict[str, _Entry] = {}
        # Request ids by the time of an event, oldest first: the result exists, was first fetched.
        self._finished: OrderedDict[str, float] = OrderedDict()
        self._fetched: OrderedDict[str, float] = OrderedDict()
        self._lifetimes = ((self._finished, lifetime_s), (self._fetched, refetch_s))
        self._is_closing = False

    def open(self) -> str:
        """Return the id of a new operation."""
        self._forget_old()
        self._count += 1
        request_id = f"{self._run}-{self._count}"
        self._entries[request_id] = _Entry()
        return request_id

    @property
    def num_waiting(self) -> int:
        """Operations without an outcome yet."""
        return len(self._entries) - len(self._finished) - len(self._fetched)

    def resolve(self, request_id: str, outcome: OperationResult | Failure) -> None:
        """Store the outcome of an operation and wake everyone who waits for it."""
        entry = self._entries[request_id]
        entry.outcome = outcome
        self._finished[request_id] = time.monotonic()
        _wake(entry)

    async def wait(self, request_id: str, timeout_s: float) -> Failure | OperationResult | None:
        """Return the outcome, or None when it does not exist within `timeout_s`.

        Raises:
            NotFound: There is no such operation, or its result was dropped.
        """
        entry = self._entry(request_id)
        if entry.outcome is None and not self._is_closing:
            await self._until_woken(entry, timeout_s)
        if entry.outcome is not None and self._finished.pop(request_id, None) is not None:
            self._fetched[request_id] = time.monotonic()
        return entry.outcome

    async def body(self, request_id: str, accept: str) -> codec.Encoded:
        """Return an existing result as bytes, encoded once per media type.

        A large one is encoded off the event loop.
        """
        entry = self._entry(request_id)
        result = entry.outcome
        assert result is not None
        assert not isinstance(result, Failure)
        media_type = codec.wanted_media_type(accept, result)
        if isinstance(result, JsonResult):
            return codec.encode(result, media_type)
        if media_type not in entry.bodies:
            entry.bodies[media_type] = _encoding(result, media_type)
        # A client that hangs up cancels its own wait, not the encoding that others wait for.
        return await asyncio.shield(entry.bodies[media_type])

    def close(self) -> None:
        """Let everyone who waits go, with no outcome."""
        self._is_closing = True
        for entry in self._entries.values():
            _wake(entry)

    async def _until_woken(self, entry: _Entry, timeout_s: float) -> None:
        # One future and one timer per waiting client: there may be thousands.
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(timeout_s, _release, waiter)
        entry.waiters.add(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            entry.waiters.discard(waiter)

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
            f"request `{request_id}` is not known: its result was dropped after it was fetched, or"
            " because nobody fetched it for long, or it never existed"
        )

    def _forget_old(self) -> None:
        now = time.monotonic()
        for since, lifetime_s in self._lifetimes:
            while since and next(iter(since.values())) <= now - lifetime_s:
                request_id, _ = since.popitem(last=False)
                del self._entries[request_id]


def _wake(entry: _Entry) -> None:
    for waiter in entry.waiters:
        _release(waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _encoding(result: OperationResult, media_type: str) -> asyncio.Future[codec.Encoded]:
    loop = asyncio.get_running_loop()
    if codec.num_values(result) > _MANY_VALUES:
        return asyncio.ensure_future(asyncio.to_thread(codec.encode, result, media_type))
    encoded: asyncio.Future[codec.Encoded] = loop.create_future()
    encoded.set_result(codec.encode(result, media_type))
    return encoded

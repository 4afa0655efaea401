"""One line per model: operations start in the order in which they arrived.

Starting hands a command to the engine, which keeps the order of one model itself; so most
operations start at once and the engine sees the next one before the last has ended. An operation
that needs more before it can start, such as a checkpoint that is still being written, holds back
those behind it and nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mint_runtime.engine.commands import Result
from mint_runtime.errors import RuntimeServerError
from mint_runtime.service.futures import Failure, Futures
from mint_runtime.wire.messages import OperationResult

_LOG = logging.getLogger("mint_runtime.service")
UNLOADED = Failure(error="the model was unloaded before this ran", category="user")


Start = Callable[[], Awaitable[Awaitable[Result]]]
Finish = Callable[[Result], Awaitable[OperationResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request that ends in a future.

    `start` hands the work over and returns what to wait for; `finish` turns the engine's answer
    into the client's.
    """

    request_id: str
    start: Start
    finish: Finish


class Tasks:
    """Background tasks, held until they end: the event loop itself keeps only weak references."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> None:
        """Cancel everything that still runs and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Line:
    """The operations of one model, first come, first started."""

    def __init__(self, futures: Futures, tasks: Tasks) -> None:
        self._futures = futures
        self._tasks = tasks
        self._waiting: asyncio.Queue[Operation] = asyncio.Queue()
        self._reason = UNLOADED
        self._worker = tasks.spawn(self._run())

    def put(self, operation: Operation) -> None:
        """Append an operation."""
        self._waiting.put_nowait(operation)

    def close(self, reason: Failure = UNLOADED) -> None:
        """Stop starting operations; fail those that wait."""
        self._reason = reason
        self._worker.cancel()
        while not self._waiting.empty():
            operation = self._waiting.get_nowait()
            self._futures.resolve(operation.request_id, reason)

    async def _run(self) -> None:
        while True:
            operation = await self._waiting.get()
            try:
                running = await operation.start()
            except Exception as error:
                self._futures.resolve(operation.request_id, failure_of(error, operation.request_id))
            except asyncio.CancelledError:
                self._futures.resolve(operation.request_id, self._reason)
                raise
            else:
                self._tasks.spawn(complete(operation, running, self._futures))


async def complete(operation: Operation, running: Awaitable[Result], futures: Futures) -> None:
    """Wait for a started operation and resolve its future, whatever happens."""
    try:
        outcome: OperationResult | Failure = await operation.finish(await running)
    except Exception as error:
        outcome = failure_of(error, operation.request_id)
    except asyncio.CancelledError:
        stopped = Failure(error="the server stopped before this was done", category="server")
        futures.resolve(operation.request_id, stopped)
        raise
    futures.resolve(operation.request_id, outcome)


async def run_alone(operation: Operation, futures: Futures) -> None:
    """Run an operation that belongs to no model's line."""

    async def running() -> Result:
        return await (await operation.start())

    await complete(operation, running(), futures)


def failure_of(error: Exception, request_id: str) -> Failure:
    """Return what the client reads of `error`. Details of our own bugs go to the log only."""
    if isinstance(error, RuntimeServerError):
        if error.category == "server":
            _LOG.error("request %s failed: %s", request_id, error)
        return Failure(error=str(error), category=error.category)
    _LOG.error("request %s failed", request_id, exc_info=error)
    if isinstance(error, OSError) and error.strerror:
        return Failure(error=f"the server's disk: {error.strerror}", category="server")
    return Failure(
        error=f"the server failed; its log has the details under request `{request_id}`",
        category="server",
    )

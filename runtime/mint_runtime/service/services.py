"""Everything a handler may use, in one record, and its start and end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from mint_runtime.engine.commands import BaseModelInfo, Capabilities, Command, Result
from mint_runtime.engine.protocol import Engine
from mint_runtime.service import convert
from mint_runtime.service.auth import Keys, load_secret
from mint_runtime.service.checkpoints import Checkpoints
from mint_runtime.service.futures import Futures
from mint_runtime.service.models import LiveModel, Models
from mint_runtime.service.ordering import Finish, Operation, Start, Tasks
from mint_runtime.service.samplers import Samplers
from mint_runtime.service.sessions import Sessions
from mint_runtime.service.settings import ServiceSettings
from mint_runtime.service.store import Store
from mint_runtime.wire.messages import OperationResult

T = TypeVar("T")
_STEPS = logging.getLogger("mint_runtime.steps")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What lives as long as the server."""

    settings: ServiceSettings
    engine: Engine
    capabilities: Capabilities
    keys: Keys
    store: Store
    futures: Futures
    tasks: Tasks
    sessions: Sessions
    models: Models
    samplers: Samplers
    checkpoints: Checkpoints
    decoder: ThreadPoolExecutor
    """One thread.

    Bodies are decoded in the order of arrival, so operations are queued in that order.
    """

    async def decode(self, work: Callable[[], T]) -> T:
        """Run `work` on the decoding thread, after everything that was handed to it before."""
        return await asyncio.get_running_loop().run_in_executor(self.decoder, work)

    def submit(self, command: Command) -> asyncio.Future[Result]:
        """Hand a command to the engine."""
        return asyncio.wrap_future(self.engine.submit(command))

    def base_model(self, name: str) -> BaseModelInfo:
        """Return a served base model; NotFound when it is not served."""
        return convert.base_model_info(self.capabilities, name)

    def enqueue(
        self,
        model: LiveModel,
        key: Hashable | None,
        command: Command,
        finish: Callable[[Result], OperationResult],
        **facts: Any,
    ) -> str:
        """Queue `command` in its model's line and return the request id.

        A `key` that repeats gives the id of the first. `facts` go into the operation's log line.
        """
        began = time.perf_counter()

        async def start() -> asyncio.Future[Result]:
            return self.submit(command)

        async def finished(result: Result) -> OperationResult:
            output = finish(result)
            self.log_step(model.record.model_id, time.perf_counter() - began, output, facts)
            return output

        return self.enqueue_operation(model, key, start, finished)

    def enqueue_operation(
        self, model: LiveModel, key: Hashable | None, start: Start, finish: Finish
    ) -> str:
        """Queue an operation that is more than one command."""
        repeated = model.repeats.find(key)
        if repeated is not None:
            return repeated
        request_id = self.futures.open()
        model.line.put(Operation(request_id=request_id, start=start, finish=finish))
        model.repeats.remember(key, request_id)
        return request_id

    def log_step(
        self, subject: str, seconds: float, output: OperationResult, facts: dict[str, Any]
    ) -> None:
        """Write the line of one operation."""
        metrics = getattr(output, "metrics", None) or {}
        if "loss:sum" in metrics:
            facts = {**facts, "loss": metrics["loss:sum"]}
        _STEPS.info(
            "%s",
            facts.get("op", "operation"),
            extra={"facts": {"id": subject, **facts, "seconds": round(seconds, 4)}},
        )


@asynccontextmanager
async def running_services(settings: ServiceSettings, engine: Engine) -> AsyncIterator[Services]:
    """Open the state directory, yield the services, and shut everything but the engine down."""
    store, keys, checkpoints = await asyncio.to_thread(_open_state, settings)
    tasks = Tasks()
    futures = Futures(settings.result_lifetime_s)
    models = Models(store, futures, tasks)
    samplers = Samplers(store, engine, checkpoints)
    sessions = Sessions(store, engine, models, samplers)
    decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
    tasks.spawn(sessions.close_silent(settings.session_timeout_s))
    try:
        yield Services(
            settings=settings,
            engine=engine,
            capabilities=engine.capabilities(),
            keys=keys,
            store=store,
            futures=futures,
            tasks=tasks,
            sessions=sessions,
            models=models,
            samplers=samplers,
            checkpoints=checkpoints,
            decoder=decoder,
        )
    finally:
        futures.close()
        await tasks.cancel()
        decoder.shutdown(wait=True, cancel_futures=True)
        store.close()


def _open_state(settings: ServiceSettings) -> tuple[Store, Keys, Checkpoints]:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    store = Store(settings.state_dir / "catalogue.sqlite")
    checkpoints = Checkpoints(store, settings.state_dir / "checkpoints")
    checkpoints.clean()
    return store, Keys(settings.api_key, load_secret(settings.state_dir / "secret")), checkpoints

"""Everything a handler may use, in one record, and its start and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from mint_runtime.engine.commands import BaseModelInfo, Capabilities, Command, Result
from mint_runtime.engine.protocol import Engine
from mint_runtime.service import convert
from mint_runtime.service.auth import Keys, load_secret
from mint_runtime.service.checkpoints import Checkpoints
from mint_runtime.service.decoding import Decoder
from mint_runtime.service.futures import Futures
from mint_runtime.service.idempotence import Repeats
from mint_runtime.service.models import LiveModel, Models
from mint_runtime.service.openai.keeper import OpenAI
from mint_runtime.service.openai.targets import Targets
from mint_runtime.service.openai.tokenizer import Tokenizers
from mint_runtime.service.ordering import Finish, Operation, Start, Tasks
from mint_runtime.service.profiles import Profile
from mint_runtime.service.samplers import Samplers
from mint_runtime.service.sessions import Sessions
from mint_runtime.service.settings import ServiceSettings
from mint_runtime.service.steps import Steps, Timing
from mint_runtime.service.store import Store
from mint_runtime.wire.messages import OperationResult


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
    steps: Steps
    openai: OpenAI
    decoder: Decoder
    repeats: Repeats
    """Of requests that belong to no model or sampler."""

    def submit(self, command: Command, timing: Timing | None = None) -> asyncio.Future[Result]:
        """Hand a command to the engine; `timing` gets the moment at which it begins."""
        future = self.engine.submit(command)
        if timing is not None:
            timing.watch(future)
        return asyncio.wrap_future(future)

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
        timing = Timing()

        async def start() -> asyncio.Future[Result]:
            return self.submit(command, timing)

        async def finished(result: Result) -> OperationResult:
            self.steps.done(model.record.model_id, facts, timing, command=command, result=result)
            return finish(result)

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

    def log_step(self, subject: str, seconds: float, facts: dict[str, Any]) -> None:
        """Record an operation that took `seconds`."""
        self.steps.done(subject, facts, Timing.ended(seconds))


@asynccontextmanager
async def running_services(settings: ServiceSettings, engine: Engine) -> AsyncIterator[Services]:
    """Open the state directory, yield the services, and shut everything but the engine down."""
    store, keys, checkpoints = await asyncio.to_thread(_open_state, settings)
    tasks = Tasks()
    futures = Futures(settings.result_lifetime_s)
    models = Models(store, futures, tasks)
    samplers = Samplers(
        store,
        engine,
        checkpoints,
        max_snapshots=settings.max_snapshots,
        snapshot_idle_s=settings.snapshot_idle_s,
    )
    sessions = Sessions(store, engine, models, samplers)
    decoder = Decoder()
    steps = Steps()
    tasks.spawn(sessions.close_silent(settings.session_timeout_s))
    tasks.spawn(checkpoints.keep_removing_expired(settings.expiry_sweep_s))
    tasks.spawn(steps.watch(engine))
    capabilities = _offered(engine.capabilities(), settings.profile)
    targets = Targets(capabilities, checkpoints, samplers)
    try:
        yield Services(
            settings=settings,
            engine=engine,
            capabilities=capabilities,
            keys=keys,
            store=store,
            futures=futures,
            tasks=tasks,
            sessions=sessions,
            models=models,
            samplers=samplers,
            checkpoints=checkpoints,
            steps=steps,
            openai=OpenAI(targets=targets, tokenizers=Tokenizers()),
            decoder=decoder,
            repeats=Repeats(),
        )
    finally:
        futures.close()
        await tasks.cancel()
        decoder.close()
        store.close()


def _offered(capabilities: Capabilities, profile: Profile) -> Capabilities:
    losses = {
        name: keys for name, keys in capabilities.losses.items() if name not in profile.losses
    }
    return replace(capabilities, losses=losses)


def _open_state(settings: ServiceSettings) -> tuple[Store, Keys, Checkpoints]:
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    store = Store(settings.state_dir / "catalogue.sqlite")
    checkpoints = Checkpoints(store, settings.state_dir / "checkpoints")
    checkpoints.clean()
    return store, Keys(settings.api_key, load_secret(settings.state_dir / "secret")), checkpoints

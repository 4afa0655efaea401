"""The engine of one process: a queue and one thread that owns the models.

Commands run one at a time in the order they were submitted, over all models and samplers; that is
stronger than the protocol asks for. `submit` only puts a command in the queue, so it never waits
for a computation.
"""

from __future__ import annotations

import logging
import queue
import threading
from concurrent.futures import Future
from functools import singledispatchmethod

from mint_runtime.engine.checkpoints import load_model, read_for, save_model
from mint_runtime.engine.commands import (
    BaseModelInfo,
    Capabilities,
    Command,
    CreateModel,
    Done,
    DropModel,
    DropSampler,
    LoadAdapter,
    OpenSampler,
    OptimResult,
    OptimStep,
    Result,
    Sample,
    SampleResult,
    SaveAdapter,
    SnapshotSampler,
    TrainResult,
    TrainStep,
)
from mint_runtime.engine.models import ModelTable, Sampler
from mint_runtime.engine.sampling import sample
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.engine.training import optim_step, train_step
from mint_runtime.errors import ServerFault, UserError
from mint_runtime.losses import LOSSES
from mint_runtime.model.load import BaseModel, load_base_model

logger = logging.getLogger(__name__)

_Job = tuple[Command, "Future[Result]"]


class LocalEngine:
    """Runs commands in this process. See `mint_runtime.engine.protocol.Engine`."""

    def __init__(self, settings: EngineSettings) -> None:
        """Load the base models and start the thread.

        Raises:
            UserError: a base model cannot be read, or two have the same name.
        """
        bases = _load_all(settings)
        self._runner = _Runner(ModelTable(settings=settings, bases=bases))
        self._capabilities = _describe(settings, bases)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="mint-engine", daemon=True)
        self._thread.start()

    def capabilities(self) -> Capabilities:
        """Return the base models and the losses served."""
        return self._capabilities

    def submit(self, command: Command) -> Future[Result]:
        """Queue a command. After `close`, the future holds a ServerFault."""
        future: Future[Result] = Future()
        with self._lock:
            if not self._is_closed:
                self._jobs.put((command, future))
                return future
        future.set_exception(_closed())
        return future

    def close(self) -> None:
        """Finish the running command, fail the queued ones, free the models. Safe to repeat."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._execute(*job)
            # A job holds its arrays, and the next may be long in coming.
            del job
        del self._runner

    def _execute(self, command: Command, future: Future[Result]) -> None:
        # From here on the future can no longer be cancelled; one that was is skipped.
        if not future.set_running_or_notify_cancel():
            return
        if self._is_closed:
            future.set_exception(_closed())
            return
        try:
            result = self._runner.run(command)
        except BaseException as error:
            if not isinstance(error, UserError):
                logger.exception("%s failed", type(command).__name__)
            future.set_exception(error)
        else:
            future.set_result(result)


class _Runner:
    """What each command does to the table of models. Used by one thread."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table

    @singledispatchmethod
    def run(self, command: Command) -> Result:
        """Execute one command; the record's type decides which method."""
        raise TypeError(f"{type(command).__name__} is not a command of this engine")

    @run.register
    def _(self, command: CreateModel) -> Done:
        self._table.create(command)
        return Done()

    @run.register
    def _(self, command: DropModel) -> Done:
        self._table.trained.pop(command.model_id, None)
        return Done()

    @run.register
    def _(self, command: TrainStep) -> TrainResult:
        return train_step(self._table.model(command.model_id), command)

    @run.register
    def _(self, command: OptimStep) -> OptimResult:
        return optim_step(self._table.model(command.model_id), command)

    @run.register
    def _(self, command: SaveAdapter) -> Done:
        model = self._table.model(command.model_id)
        save_model(model, command.directory, with_optimizer=command.with_optimizer)
        return Done()

    @run.register
    def _(self, command: LoadAdapter) -> Done:
        model = self._table.model(command.model_id)
        load_model(model, command.directory, with_optimizer=command.with_optimizer)
        return Done()

    @run.register
    def _(self, command: SnapshotSampler) -> Done:
        model = self._table.model(command.model_id)
        frozen = Sampler(base=model.base, adapter=model.adapter.frozen_copy())
        self._table.add_sampler(command.sampler_id, frozen)
        return Done()

    @run.register
    def _(self, command: OpenSampler) -> Done:
        base = self._table.base(command.base_model)
        adapter = None
        if command.directory is not None:
            adapter = read_for(command.directory, base).frozen_copy()
        self._table.add_sampler(command.sampler_id, Sampler(base=base, adapter=adapter))
        return Done()

    @run.register
    def _(self, command: DropSampler) -> Done:
        self._table.samplers.pop(command.sampler_id, None)
        return Done()

    @run.register
    def _(self, command: Sample) -> SampleResult:
        return sample(self._table.sampler(command.sampler_id), command)


def _closed() -> ServerFault:
    return ServerFault("the engine has been shut down")


def _load_all(settings: EngineSettings) -> dict[str, BaseModel]:
    if not settings.base_models:
        raise UserError("no base model is configured; name at least one")
    bases: dict[str, BaseModel] = {}
    for name, path in settings.base_models:
        if name in bases:
            raise UserError(f"two base models are called {name!r}")
        bases[name] = load_base_model(
            name,
            path,
            device=settings.device,
            dtype=settings.dtype,
            allow_remote_code=settings.allow_remote_code,
        )
    return bases


def _describe(settings: EngineSettings, bases: dict[str, BaseModel]) -> Capabilities:
    return Capabilities(
        base_models=tuple(
            BaseModelInfo(
                name=base.name,
                tokenizer_id=base.source,
                max_context_length=base.max_context_length,
                vocab_size=base.vocab_size,
                architecture=base.architecture,
                max_lora_rank=settings.max_lora_rank,
            )
            for base in bases.values()
        ),
        losses={loss.name: frozenset(loss.config) for loss in LOSSES.values()},
    )

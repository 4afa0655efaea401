"""The engine of one process: an inbox and one thread that owns the models.

`submit` only puts a command in the inbox, so it never waits for a computation. What the thread does
with it is in `mint_runtime.engine.loop`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from mint_runtime.engine.commands import (
    BaseModelInfo,
    Capabilities,
    Command,
    EngineStats,
    Result,
)
from mint_runtime.engine.loop import EngineLoop
from mint_runtime.engine.models import ModelTable
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.errors import ServerFault, UserError
from mint_runtime.losses import LOSSES, UNSERVED
from mint_runtime.model.load import BaseModel, load_base_model

logger = logging.getLogger(__name__)


class LocalEngine:
    """Runs commands in this process. See `mint_runtime.engine.protocol.Engine`."""

    def __init__(self, settings: EngineSettings) -> None:
        """Load the base models and start the thread.

        Raises:
            UserError: a base model cannot be read, or two have the same name.
        """
        bases = _load_all(settings)
        self._capabilities = _describe(settings, bases)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._loop = EngineLoop(ModelTable(settings=settings, bases=bases), self._inbox.put)
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="mint-engine", daemon=True)
        self._thread.start()

    def capabilities(self) -> Capabilities:
        """Return the base models and the losses served."""
        return self._capabilities

    def stats(self) -> EngineStats:
        """Return counters and what is held now."""
        return self._loop.stats()

    def submit(self, command: Command) -> Future[Result]:
        """Queue a command. After `close`, the future holds a ServerFault."""
        future: Future[Result] = Future()
        with self._lock:
            if not self._is_closed:
                self._inbox.put(lambda: self._loop.receive(command, future))
                return future
        future.set_exception(_closed())
        return future

    def close(self) -> None:
        """Finish the running pass, fail what is not done, free the models. Safe to repeat."""
        with self._lock:
            self._is_closed = True
        self._inbox.put(lambda: None)
        self._thread.join()

    def _work(self) -> None:
        while not self._is_closed:
            try:
                self._receive()
                self._loop.turn()
            except Exception as error:
                # Without this thread every client would wait for ever.
                logger.exception("a turn of the engine failed, and what was running with it")
                self._loop.fail_running(error)
        self._receive()
        self._loop.close(_closed())

    def _receive(self) -> None:
        """Take everything that has arrived; wait for something if there is nothing else to do."""
        if not self._loop.has_work and not self._is_closed:
            self._inbox.get()()
        while not self._inbox.empty():
            self._inbox.get()()


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
        unserved_losses=UNSERVED,
    )

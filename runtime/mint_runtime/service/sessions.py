"""Sessions: one per client process. Silent ones lose their adapters, never their checkpoints."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from concurrent.futures import Future

from mint_runtime.engine.commands import DropModel, Result
from mint_runtime.engine.protocol import Engine
from mint_runtime.errors import NotFound
from mint_runtime.service.models import Models
from mint_runtime.service.records import SessionRecord
from mint_runtime.service.samplers import Samplers
from mint_runtime.service.store import Store

_LOG = logging.getLogger("mint_runtime.service")
_SWEEPS_PER_TIMEOUT = 10


def new_session_id() -> str:
    """Return an id that no other session has."""
    return f"sess-{secrets.token_hex(8)}"


class Sessions:
    """Who is connected.

    The clock is monotonic, so a machine that sleeps does not time its clients out.
    """

    def __init__(self, store: Store, engine: Engine, models: Models, samplers: Samplers) -> None:
        self._store = store
        self._engine = engine
        self._models = models
        self._samplers = samplers
        self._heard: dict[str, float] = {}

    async def add(self, session: SessionRecord) -> None:
        """Open a session."""
        await asyncio.to_thread(self._store.add_session, session)
        self._heard[session.session_id] = time.monotonic()

    async def require(self, session_id: str) -> None:
        """Check that a session exists, and note that its client lives.

        Raises:
            NotFound: It was never opened here.
        """
        known = session_id in self._heard
        if not known and await asyncio.to_thread(self._store.find_session, session_id) is None:
            raise NotFound(
                f"session `{session_id}` is not known to this server; create a new ServiceClient"
            )
        self._heard[session_id] = time.monotonic()

    def silence(self) -> dict[str, float]:
        """Return the open sessions, and for how many seconds each has been silent."""
        now = time.monotonic()
        return {session_id: now - heard for session_id, heard in self._heard.items()}

    def close(self, session_id: str) -> list[Future[Result]]:
        """Drop the adapters and samplers of a session; return what the engine has to do for it."""
        self._heard.pop(session_id, None)
        dropped = []
        for model in self._models.of_session(session_id):
            self._models.remove(model.record.model_id)
            dropped.append(self._engine.submit(DropModel(model_id=model.record.model_id)))
        self._samplers.drop_session(session_id)
        return dropped

    async def make_room(self, max_models: int, abandoned_after_s: float) -> None:
        """Close abandoned sessions, the most silent first, until one more model fits.

        When too few are abandoned, the engine is left to refuse the model.
        """
        by_silence = sorted(self._heard.items(), key=lambda entry: entry[1])
        for session_id, heard in by_silence:
            is_abandoned = heard < time.monotonic() - abandoned_after_s
            if len(self._models) < max_models or not is_abandoned:
                return
            if any(self._models.of_session(session_id)):
                _LOG.info("session %s is silent and makes room for a new model", session_id)
                await asyncio.gather(*map(asyncio.wrap_future, self.close(session_id)))

    async def close_silent(self, timeout_s: float) -> None:
        """Close sessions that have been silent for `timeout_s`, until cancelled."""
        while True:
            await asyncio.sleep(timeout_s / _SWEEPS_PER_TIMEOUT)
            oldest = time.monotonic() - timeout_s
            for session_id, heard in tuple(self._heard.items()):
                if heard < oldest and not self._is_training(session_id, timeout_s):
                    _LOG.info("session %s has been silent; its adapters are dropped", session_id)
                    self.close(session_id)

    def _is_training(self, session_id: str, timeout_s: float) -> bool:
        oldest = time.time() - timeout_s
        return any(model.last_request > oldest for model in self._models.of_session(session_id))

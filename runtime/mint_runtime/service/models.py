"""Models in memory.

Which exist, in what order their operations run, and what to say of one that is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from mint_runtime.errors import NotFound
from mint_runtime.service.futures import Failure, Futures
from mint_runtime.service.idempotence import Repeats
from mint_runtime.service.ordering import UNLOADED, Line, Tasks
from mint_runtime.service.records import CheckpointKind, ModelRecord
from mint_runtime.service.store import Store


@dataclass(slots=True, kw_only=True)
class LiveModel:
    """A model that the engine holds, or will once its creation has run."""

    record: ModelRecord
    line: Line
    repeats: Repeats = field(default_factory=Repeats)
    last_request: float


class Models:
    """All live models. `require` may be called from any thread, the rest on the event loop."""

    def __init__(self, store: Store, futures: Futures, tasks: Tasks) -> None:
        self._store = store
        self._futures = futures
        self._tasks = tasks
        self._live: dict[str, LiveModel] = {}

    def add(self, record: ModelRecord) -> LiveModel:
        """Make room for a model that is about to be created."""
        line = Line(self._futures, self._tasks)
        model = LiveModel(record=record, line=line, last_request=record.created)
        self._live[record.model_id] = model
        return model

    def find(self, model_id: str) -> LiveModel | None:
        """Return a live model or None."""
        return self._live.get(model_id)

    def require(self, model_id: str) -> LiveModel:
        """Return a live model and note the request.

        Raises:
            NotFound: It never existed, or its weights are no longer in memory; the text says how to
                go on.
        """
        model = self._live.get(model_id)
        if model is None:
            raise NotFound(self._gone(model_id))
        model.last_request = time.time()
        return model

    def remove(self, model_id: str, reason: Failure = UNLOADED) -> None:
        """Forget a model and fail what waits in its line, for `reason`."""
        model = self._live.pop(model_id, None)
        if model is not None:
            model.line.close(reason)

    def __len__(self) -> int:
        return len(self._live)

    def live(self) -> tuple[LiveModel, ...]:
        """Return all live models, oldest first."""
        return tuple(self._live.values())

    def of_session(self, session_id: str) -> Iterable[LiveModel]:
        """Return the live models of a session."""
        return tuple(m for m in self._live.values() if m.record.session_id == session_id)

    def last_request(self, record: ModelRecord) -> float:
        """Return when a model, live or not, was last asked for something."""
        model = self._live.get(record.model_id)
        return record.last_request if model is None else model.last_request

    def _gone(self, model_id: str) -> str:
        if self._store.find_model(model_id) is None:
            return f"model `{model_id}` is not known to this server; create a training client first"
        lost = (
            f"model `{model_id}` is no longer in memory: it was unloaded, or the server has"
            " restarted since. Create a new training client with the same base model and rank"
        )
        saved = self._store.checkpoints_of_model(model_id, time.time())
        training = [one for one in saved if one.kind is CheckpointKind.TRAINING]
        if training:
            return f'{lost}, and call `load_state_with_optimizer("{training[-1].path}")`'
        return f"{lost} and start again; it was never saved with `save_state`"

"""Sampling sessions.

Snapshots of an adapter, or a base model, under the id that a client samples from.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mint_runtime.engine.commands import DropSampler, OpenSampler
from mint_runtime.engine.protocol import Engine
from mint_runtime.errors import NotFound, UserError
from mint_runtime.service.checkpoints import CheckpointRef, Checkpoints, parse_path
from mint_runtime.service.idempotence import Repeats
from mint_runtime.service.records import SamplerRecord
from mint_runtime.service.store import Store

_ReferenceKey = tuple[str, str, Path | None]
"""Session, base model, folder of the checkpoint."""


@dataclass(slots=True, kw_only=True)
class LiveSampler:
    """A sampler that the engine holds."""

    record: SamplerRecord
    repeats: Repeats = field(default_factory=Repeats)
    num_running: int = 0
    last_used: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Note that a request to it has started."""
        self.num_running += 1

    def end(self) -> None:
        """Note that a request to it has ended."""
        self.num_running -= 1
        self.last_used = time.monotonic()

    def is_idle(self, idle_s: float) -> bool:
        """Return whether nobody has used it for `idle_s`."""
        return self.num_running == 0 and self.last_used < time.monotonic() - idle_s


class Samplers:
    """All samplers.

    Those opened from a base model or a named checkpoint come back after a restart when asked for.
    Unnamed snapshots are in memory only. A training loop makes one for each step and forgets it, so
    of each session the idle ones beyond `max_snapshots` are dropped.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        checkpoints: Checkpoints,
        *,
        max_snapshots: int,
        snapshot_idle_s: float,
    ) -> None:
        self._max_snapshots = max_snapshots
        self._snapshot_idle_s = snapshot_idle_s
        self._store = store
        self._engine = engine
        self._checkpoints = checkpoints
        self._live: dict[str, LiveSampler] = {}
        self._opening: dict[str, asyncio.Task[LiveSampler]] = {}
        self._references: dict[_ReferenceKey, asyncio.Task[str]] = {}

    async def open(self, record: SamplerRecord) -> LiveSampler:
        """Return the sampler of `record`, opening it when it is not; asking twice opens once.

        Raises:
            NotFound: Its checkpoint does not exist.
            UserError: The checkpoint does not belong to the base model.
        """
        if (live := self._live.get(record.sampler_id)) is not None:
            return live
        task = self._opening.get(record.sampler_id)
        if task is None:
            task = asyncio.create_task(self._open(record))
            self._opening[record.sampler_id] = task
            task.add_done_callback(lambda _: self._opening.pop(record.sampler_id, None))
        return await asyncio.shield(task)

    async def open_reference(
        self, session_id: str, base_model: str, ref: CheckpointRef | None
    ) -> str:
        """Return a sampler that no client knows of, on a checkpoint or on the bare base model.

        A session that asks for the same files again gets the same one, until it ends.

        Raises:
            NotFound: The checkpoint does not exist.
            UserError: It belongs to another base model.
        """
        directory = None
        if ref is not None:
            checkpoint = await self._checkpoints.wait_and_get(ref)
            shape = await asyncio.to_thread(self._checkpoints.shape, checkpoint)
            if shape.base_model != base_model:
                raise UserError(f"`{ref}` was trained on `{shape.base_model}`, not `{base_model}`")
            directory = self._checkpoints.directory(checkpoint)
        key = (session_id, base_model, directory)
        task = self._references.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._open_reference(session_id, base_model, directory))
            self._references[key] = task
        return await asyncio.shield(task)

    async def add_snapshot(self, record: SamplerRecord) -> None:
        """Remember a snapshot that the engine has made."""
        await asyncio.to_thread(self._store.put_sampler, record)
        self._live[record.sampler_id] = LiveSampler(record=record)
        self._drop_idle_snapshots(record.session_id)

    async def require(self, sampler_id: str) -> LiveSampler:
        """Return a sampler, reopening one from before a restart.

        Raises:
            NotFound: It never existed, or was an unnamed snapshot that the restart lost.
        """
        if (live := self._live.get(sampler_id)) is not None:
            return live
        record = await asyncio.to_thread(self.record, sampler_id)
        if record.ephemeral:
            raise NotFound(
                f"sampler `{sampler_id}` was an unnamed snapshot and is no longer in memory: the"
                " server has restarted since, or many later ones were made;"
                " `save_weights_for_sampler(name)` makes one that lasts"
            )
        return await self.open(record)

    def record(self, sampler_id: str) -> SamplerRecord:
        """Return what is known of a sampler, from the catalogue.

        Raises:
            NotFound: It never existed.
        """
        record = self._store.find_sampler(sampler_id)
        if record is None:
            raise NotFound(
                f"sampler `{sampler_id}` is not known to this server; create a sampling client"
            )
        return record

    def drop_session(self, session_id: str) -> None:
        """Forget the samplers of a session."""
        for sampler_id, sampler in tuple(self._live.items()):
            if sampler.record.session_id == session_id:
                del self._live[sampler_id]
                self._engine.submit(DropSampler(sampler_id=sampler_id))
        for sampler_id, opening in self._opening.items():
            if sampler_id.partition(":")[0] == session_id:
                opening.add_done_callback(partial(self._drop_opened, sampler_id))
        for key, task in tuple(self._references.items()):
            if key[0] == session_id:
                del self._references[key]
                task.add_done_callback(self._drop_reference)

    def _drop_opened(self, sampler_id: str, _: asyncio.Task[LiveSampler]) -> None:
        if self._live.pop(sampler_id, None) is not None:
            self._engine.submit(DropSampler(sampler_id=sampler_id))

    def _drop_idle_snapshots(self, session_id: str) -> None:
        snapshots = [
            sampler
            for sampler in self._live.values()
            if sampler.record.ephemeral and sampler.record.session_id == session_id
        ]
        snapshots.sort(key=lambda sampler: sampler.last_used)
        for sampler in snapshots[: max(0, len(snapshots) - self._max_snapshots)]:
            if sampler.is_idle(self._snapshot_idle_s):
                sampler_id = sampler.record.sampler_id
                del self._live[sampler_id]
                self._engine.submit(DropSampler(sampler_id=sampler_id))

    def _drop_reference(self, task: asyncio.Task[str]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._engine.submit(DropSampler(sampler_id=task.result()))

    async def _open_reference(
        self, session_id: str, base_model: str, directory: Path | None
    ) -> str:
        sampler_id = f"{session_id}:reference:{secrets.token_hex(4)}"
        command = OpenSampler(sampler_id=sampler_id, base_model=base_model, directory=directory)
        await asyncio.wrap_future(self._engine.submit(command))
        return sampler_id

    async def _open(self, record: SamplerRecord) -> LiveSampler:
        directory = None
        if record.model_path is not None:
            checkpoint = await self._checkpoints.wait_and_get(parse_path(record.model_path))
            directory = self._checkpoints.directory(checkpoint)
        command = OpenSampler(
            sampler_id=record.sampler_id, base_model=record.base_model, directory=directory
        )
        await asyncio.wrap_future(self._engine.submit(command))
        await asyncio.to_thread(self._store.put_sampler, record)
        live = LiveSampler(record=record)
        self._live[record.sampler_id] = live
        return live


def snapshot_record(sampler_id: str, session_id: str, base_model: str) -> SamplerRecord:
    """Return the record of an unnamed snapshot."""
    return SamplerRecord(
        sampler_id=sampler_id,
        session_id=session_id,
        base_model=base_model,
        created=time.time(),
        ephemeral=True,
    )

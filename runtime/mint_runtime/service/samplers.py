"""Sampling sessions.

Snapshots of an adapter, or a base model, under the id that a client samples from.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from mint_runtime.engine.commands import DropSampler, OpenSampler
from mint_runtime.engine.protocol import Engine
from mint_runtime.errors import NotFound
from mint_runtime.service.checkpoints import Checkpoints, parse_path
from mint_runtime.service.idempotence import Repeats
from mint_runtime.service.records import SamplerRecord
from mint_runtime.service.store import Store


@dataclass(slots=True, kw_only=True)
class LiveSampler:
    """A sampler that the engine holds."""

    record: SamplerRecord
    repeats: Repeats = field(default_factory=Repeats)


class Samplers:
    """All samplers.

    Those opened from a base model or a named checkpoint come back after a restart when asked for.
    """

    def __init__(self, store: Store, engine: Engine, checkpoints: Checkpoints) -> None:
        self._store = store
        self._engine = engine
        self._checkpoints = checkpoints
        self._live: dict[str, LiveSampler] = {}
        self._opening: dict[str, asyncio.Task[LiveSampler]] = {}

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

    async def add_snapshot(self, record: SamplerRecord) -> None:
        """Remember a snapshot that the engine has made."""
        await asyncio.to_thread(self._store.put_sampler, record)
        self._live[record.sampler_id] = LiveSampler(record=record)

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
                f"sampler `{sampler_id}` was an unnamed snapshot and is no longer in memory;"
                " `save_weights_for_sampler(name)` makes one that survives a restart"
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

"""What `model` names: a base model, a checkpoint, or a sampler that a client has open.

A checkpoint is opened as a sampler when it is asked for, and stays open for the next request. Only
a few are kept, since each costs memory; the one that was idle longest goes first. A checkpoint that
is overwritten or deleted is another one or none to the next request, because what is kept is known
by its folder and the catalogue is asked each time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

from mint_runtime.engine.commands import BaseModelInfo, Capabilities
from mint_runtime.errors import NotFound, UserError
from mint_runtime.service import convert
from mint_runtime.service.checkpoints import Checkpoints, parse_path
from mint_runtime.service.openai.errors import UnknownModel
from mint_runtime.service.records import SamplerRecord
from mint_runtime.service.samplers import LiveSampler, Samplers

MAX_OPEN = 8
"""Checkpoints that stay open."""
SESSION = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A sampler to draw from, and the base model it stands on."""

    sampler: LiveSampler
    base: BaseModelInfo

    @property
    def sampler_id(self) -> str:
        return self.sampler.record.sampler_id


class Targets:
    """Finds and opens samplers by the names that requests use."""

    def __init__(
        self,
        capabilities: Capabilities,
        checkpoints: Checkpoints,
        samplers: Samplers,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._capabilities = capabilities
        self._checkpoints = checkpoints
        self._samplers = samplers
        self._max_open = max_open
        self._open: OrderedDict[str, LiveSampler] = OrderedDict()
        """Samplers of checkpoints by id, least recently used first."""

    async def acquire(self, model: str) -> Target:
        """Return the sampler that `model` names. Call `release` when nothing draws from it.

        Raises:
            UnknownModel: There is none; the text says what the name may be.
        """
        try:
            if "://" in model:
                sampler = await self._checkpoint(model)
            elif any(info.name == model for info in self._capabilities.base_models):
                sampler = await self._samplers.open(_record(f"{SESSION}:{model}", model, None))
            else:
                sampler = await self._samplers.require(model)
        except NotFound as error:
            raise UnknownModel(self._explain(model, error)) from error
        base = convert.base_model_info(self._capabilities, sampler.record.base_model)
        sampler.begin()
        return Target(sampler=sampler, base=base)

    def release(self, target: Target) -> None:
        """Let a sampler go; it stays open while there is room."""
        target.sampler.end()
        idle = [name for name, sampler in self._open.items() if sampler.num_running == 0]
        for sampler_id in idle[: max(0, len(self._open) - self._max_open)]:
            del self._open[sampler_id]
            self._samplers.drop_session(_session(sampler_id))

    async def _checkpoint(self, path: str) -> LiveSampler:
        try:
            ref = parse_path(path)
        except UserError as error:
            raise NotFound(str(error)) from error
        checkpoint = await self._checkpoints.wait_and_get(ref)
        shape = await asyncio.to_thread(self._checkpoints.shape, checkpoint)
        sampler_id = f"{SESSION}-{checkpoint.directory.as_posix()}:sample:0"
        sampler = await self._samplers.open(_record(sampler_id, shape.base_model, str(ref)))
        self._open[sampler_id] = sampler
        self._open.move_to_end(sampler_id)
        return sampler

    def _explain(self, model: str, error: NotFound) -> str:
        if "://" in model:
            return str(error)
        names = ", ".join(f"`{info.name}`" for info in self._capabilities.base_models)
        return (
            f"model `{model}` does not exist; `model` is a base model ({names}), a checkpoint path"
            " such as `tinker://<model id>/sampler_weights/<name>`, or the id of an open sampler"
        )


def _record(sampler_id: str, base_model: str, path: str | None) -> SamplerRecord:
    return SamplerRecord(
        sampler_id=sampler_id,
        session_id=_session(sampler_id),
        base_model=base_model,
        created=time.time(),
        model_path=path,
    )


def _session(sampler_id: str) -> str:
    """Return a session of the sampler's own, so that it can be dropped without others."""
    return sampler_id.removesuffix(":sample:0")

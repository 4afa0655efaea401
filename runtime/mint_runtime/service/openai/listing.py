"""What `model` may be, as OpenAI's clients list it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mint_runtime.engine.commands import BaseModelInfo
from mint_runtime.errors import UserError
from mint_runtime.service.checkpoints import parse_path
from mint_runtime.service.openai.errors import UnknownModel
from mint_runtime.service.records import CheckpointRecord
from mint_runtime.service.services import Services

_MAX_CHECKPOINTS = 1000


async def list_models(services: Services) -> list[dict[str, Any]]:
    """Return the base models, then the latest checkpoints, newest first."""
    checkpoints, _ = await asyncio.to_thread(
        services.store.list_checkpoints, _MAX_CHECKPOINTS, 0, time.time()
    )
    return [
        *(_base(info, services) for info in services.capabilities.base_models),
        *(_checkpoint(one) for one in checkpoints),
    ]


async def find_model(services: Services, name: str) -> dict[str, Any]:
    """Return one entry.

    Raises:
        UnknownModel: There is no such base model or checkpoint.
    """
    for info in services.capabilities.base_models:
        if info.name == name:
            return _base(info, services)
    try:
        checkpoint = await asyncio.to_thread(services.checkpoints.get, parse_path(name))
    except UserError as error:
        raise UnknownModel(str(error)) from error
    return _checkpoint(checkpoint)


def _base(info: BaseModelInfo, services: Services) -> dict[str, Any]:
    return {
        "id": info.name,
        "object": "model",
        "created": int(services.steps.started),
        "owned_by": "mint-runtime",
        "max_model_len": info.max_context_length,
    }


def _checkpoint(checkpoint: CheckpointRecord) -> dict[str, Any]:
    return {
        "id": checkpoint.path,
        "object": "model",
        "created": int(checkpoint.created),
        "owned_by": "mint-runtime",
        "parent": checkpoint.model_id,
    }

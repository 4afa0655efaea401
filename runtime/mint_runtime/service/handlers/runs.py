"""Training runs: every model that was ever created here, in memory or not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from mint_runtime.errors import NotFound
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.records import CheckpointKind, ModelRecord
from mint_runtime.service.services import Services
from mint_runtime.service.views import checkpoint_view, cursor_view, timestamp


async def get_training_run(call: Call[None]) -> Response:
    """Describe one training run."""
    run_id = call.path("run_id")

    def read() -> dict[str, Any]:
        record = call.services.store.find_model(run_id)
        if record is None:
            raise NotFound(f"training run `{run_id}` is not known to this server")
        return _view(call.services, record)

    return JSONResponse(await asyncio.to_thread(read))


async def list_training_runs(call: Call[None]) -> Response:
    """List training runs, newest first."""
    limit, offset = call.page(20)

    def read() -> dict[str, Any]:
        records, total = call.services.store.list_models(limit, offset)
        return {
            "training_runs": [_view(call.services, record) for record in records],
            "cursor": cursor_view(limit, offset, total),
        }

    return JSONResponse(await asyncio.to_thread(read))


def _view(services: Services, record: ModelRecord) -> dict[str, Any]:
    saved = services.store.checkpoints_of_model(record.model_id, time.time())
    latest = {one.kind: checkpoint_view(one) for one in saved}
    return {
        "training_run_id": record.model_id,
        "base_model": record.base_model,
        "model_owner": "local",
        "is_lora": True,
        "corrupted": False,
        "lora_rank": record.rank,
        "last_request_time": timestamp(services.models.last_request(record)),
        "last_checkpoint": latest.get(CheckpointKind.TRAINING),
        "last_sampler_checkpoint": latest.get(CheckpointKind.SAMPLER),
        "user_metadata": dict(record.user_metadata) or None,
    }


ENDPOINTS = {
    "get_training_run": Endpoint(get_training_run),
    "list_training_runs": Endpoint(list_training_runs),
}

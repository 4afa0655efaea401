"""The catalogue of checkpoints: list, delete, publish, expire."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.responses import JSONResponse, Response

from mint_runtime.errors import NotFound
from mint_runtime.service.call import Call, Endpoint
from mint_runtime.service.checkpoints import CheckpointRef
from mint_runtime.service.records import CheckpointKind, CheckpointRecord
from mint_runtime.service.views import checkpoint_view, cursor_view
from mint_runtime.wire import messages as m


async def list_run_checkpoints(call: Call[None]) -> Response:
    """List the checkpoints of one training run, oldest first."""
    run_id, store = call.path("run_id"), call.services.store

    def read() -> list[CheckpointRecord]:
        if store.find_model(run_id) is None:
            raise NotFound(f"training run `{run_id}` is not known to this server")
        return store.checkpoints_of_model(run_id, time.time())

    saved = await asyncio.to_thread(read)
    return JSONResponse({"checkpoints": [checkpoint_view(one) for one in saved]})


async def list_checkpoints(call: Call[None]) -> Response:
    """List the checkpoints of all training runs, newest first."""
    limit, offset = call.page(100)
    saved, total = await asyncio.to_thread(
        call.services.store.list_checkpoints, limit, offset, time.time()
    )
    body: dict[str, Any] = {
        "checkpoints": [checkpoint_view(one) for one in saved],
        "cursor": cursor_view(limit, offset, total),
    }
    return JSONResponse(body)


async def delete_checkpoint(call: Call[None]) -> Response:
    """Delete a checkpoint and its files. 404 when it does not exist."""
    checkpoint = await named_checkpoint(call)
    await asyncio.to_thread(call.services.checkpoints.remove, checkpoint)
    return Response(status_code=204)


async def publish_checkpoint(call: Call[None]) -> Response:
    """Mark a checkpoint public."""
    return await _set_public(call, True)


async def unpublish_checkpoint(call: Call[None]) -> Response:
    """Mark a checkpoint private."""
    return await _set_public(call, False)


async def set_checkpoint_ttl(call: Call[m.SetTtlRequest]) -> Response:
    """Let a checkpoint expire some seconds from now, or never."""
    checkpoint = await named_checkpoint(call)
    ttl = call.body.ttl_seconds
    expires_at = None if ttl is None else time.time() + ttl
    await asyncio.to_thread(call.services.store.set_checkpoint_expiry, checkpoint, expires_at)
    return Response(status_code=204)


async def named_checkpoint(call: Call[Any]) -> CheckpointRecord:
    """Return the checkpoint that the path of the request names; NotFound when there is none."""
    kind = call.path("kind")
    if kind not in {one.value for one in CheckpointKind}:
        raise NotFound(f"`{kind}` is not a kind of checkpoint; use `weights` or `sampler_weights`")
    ref = CheckpointRef(
        model_id=call.path("run_id"), kind=CheckpointKind(kind), name=call.path("name")
    )
    return await asyncio.to_thread(call.services.checkpoints.get, ref)


async def _set_public(call: Call[None], public: bool) -> Response:
    checkpoint = await named_checkpoint(call)
    await asyncio.to_thread(call.services.store.set_checkpoint_public, checkpoint, public)
    return Response(status_code=204)


ENDPOINTS = {
    "list_run_checkpoints": Endpoint(list_run_checkpoints),
    "list_checkpoints": Endpoint(list_checkpoints),
    "delete_checkpoint": Endpoint(delete_checkpoint),
    "publish_checkpoint": Endpoint(publish_checkpoint),
    "unpublish_checkpoint": Endpoint(unpublish_checkpoint),
    "set_checkpoint_ttl": Endpoint(set_checkpoint_ttl),
}

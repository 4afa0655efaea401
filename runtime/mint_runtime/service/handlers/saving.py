"""Saving. It runs in the model's line, so a save holds exactly what was trained before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

from starlette.responses import Response

from mint_runtime.engine.commands import Result, SaveAdapter, SnapshotSampler
from mint_runtime.errors import Unprocessable
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.checkpoints import CheckpointRef, Details, check_name
from mint_runtime.service.models import LiveModel
from mint_runtime.service.records import CheckpointKind
from mint_runtime.service.samplers import snapshot_record
from mint_runtime.service.services import Services
from mint_runtime.wire import messages as m


def prepare_save(
    services: Services, request: m.SaveWeightsRequest
) -> tuple[LiveModel, m.SaveWeightsRequest]:
    """Find the model and check the name."""
    check_name(request.path)
    return services.models.require(request.model_id), request


async def save_weights(call: Call[tuple[LiveModel, m.SaveWeightsRequest]]) -> Response:
    """Queue a checkpoint with the optimizer.

    400-class failure when the name exists and `overwrite` is not set.
    """
    model, request = call.body
    ref = CheckpointRef(model_id=request.model_id, kind=CheckpointKind.TRAINING, name=request.path)
    request_id = _enqueue_save(
        call.services,
        model,
        ref,
        request.seq_id,
        overwrite=request.overwrite,
        details=_details(request),
    )
    return acknowledgement(request_id, model_id=request.model_id)


def prepare_save_for_sampler(
    services: Services, request: m.SaveWeightsForSamplerRequest
) -> tuple[LiveModel, m.SaveWeightsForSamplerRequest]:
    """Find the model and check that the request is either named or ephemeral."""
    if request.path is not None:
        check_name(request.path)
    elif request.sampling_session_seq_id is None:
        raise Unprocessable("one of `path` and `sampling_session_seq_id` is needed")
    return services.models.require(request.model_id), request


async def save_weights_for_sampler(
    call: Call[tuple[LiveModel, m.SaveWeightsForSamplerRequest]],
) -> Response:
    """Queue a checkpoint for sampling.

    Files under a name, or a snapshot in memory that only its client knows.
    """
    model, request = call.body
    if request.path is None:
        assert request.sampling_session_seq_id is not None
        request_id = _enqueue_snapshot(
            call.services, model, request.seq_id, request.sampling_session_seq_id
        )
    else:
        ref = CheckpointRef(
            model_id=request.model_id, kind=CheckpointKind.SAMPLER, name=request.path
        )
        request_id = _enqueue_save(
            call.services, model, ref, request.seq_id, overwrite=False, details=_details(request)
        )
    return acknowledgement(request_id, model_id=request.model_id)


def _details(request: m.SaveWeightsRequest | m.SaveWeightsForSamplerRequest) -> Details:
    return Details(ttl_s=request.ttl_seconds, user_metadata=request.user_metadata or {})


def _enqueue_save(
    services: Services,
    model: LiveModel,
    ref: CheckpointRef,
    key: int | None,
    *,
    overwrite: bool,
    details: Details,
) -> str:
    began = time.perf_counter()
    training = ref.kind is CheckpointKind.TRAINING
    op = "save_weights" if training else "save_weights_for_sampler"

    def write(directory: Path) -> Awaitable[Result]:
        command = SaveAdapter(model_id=ref.model_id, directory=directory, with_optimizer=training)
        return services.submit(command)

    async def start() -> Awaitable[Result]:
        return await services.checkpoints.save(ref, write, overwrite=overwrite, details=details)

    async def finish(_: Result) -> m.JsonResult:
        await asyncio.to_thread(services.store.touch_model, ref.model_id, time.time())
        seconds = time.perf_counter() - began
        services.log_step(ref.model_id, seconds, {"op": op, "path": str(ref)})
        return m.JsonResult(fields={"path": str(ref), "type": op})

    return services.enqueue_operation(model, key, start, finish)


def _enqueue_snapshot(
    services: Services, model: LiveModel, key: int | None, sampling_session_seq_id: int
) -> str:
    record = model.record
    sampler_id = f"{record.session_id}:sample:{sampling_session_seq_id}"
    command = SnapshotSampler(model_id=record.model_id, sampler_id=sampler_id)

    async def start() -> asyncio.Future[Result]:
        return services.submit(command)

    async def finish(_: Result) -> m.JsonResult:
        snapshot = snapshot_record(sampler_id, record.session_id, record.base_model)
        await services.samplers.add_snapshot(snapshot)
        return m.JsonResult(
            fields={"sampling_session_id": sampler_id, "type": "save_weights_for_sampler"}
        )

    return services.enqueue_operation(model, key, start, finish)


ENDPOINTS = {
    "save_weights": Endpoint(save_weights, prepare_save, is_future=True),
    "save_weights_for_sampler": Endpoint(
        save_weights_for_sampler, prepare_save_for_sampler, is_future=True
    ),
}

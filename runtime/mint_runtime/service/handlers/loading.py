"""Loading a checkpoint into a model, or into a new model of its shape.

A load runs in the model's line, and waits for a checkpoint that is being written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable

from starlette.responses import JSONResponse, Response

from mint_runtime.engine.commands import LoadAdapter, LoraSpec, Result
from mint_runtime.errors import Unprocessable, UserError
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.checkpoints import parse_path
from mint_runtime.service.handlers.models import enqueue_creation, model_id_of
from mint_runtime.service.models import LiveModel
from mint_runtime.service.records import AdapterShape, CheckpointKind, CheckpointRecord, ModelRecord
from mint_runtime.service.services import Services
from mint_runtime.wire import messages as m


def prepare_load(services: Services, request: m.LoadWeightsRequest) -> m.LoadWeightsRequest:
    """Check the path, the optimizer and the address."""
    parse_path(request.path)
    convert.check_optimizer(request.optimizer_config)
    if request.model_id is not None:
        services.models.require(request.model_id)
        is_first = request.seq_id in (None, 1)
        if services.settings.profile.loads_first_only and not is_first:
            raise UserError(
                f"a checkpoint can be loaded only as the first operation of a training client, not"
                f" as number {request.seq_id}; create a new training client and load there"
            )
    elif request.session_id is None or request.model_seq_id is None:
        raise Unprocessable("`model_id` is needed, or `session_id` and `model_seq_id`")
    return request


async def load_weights(call: Call[m.LoadWeightsRequest]) -> Response:
    """Queue the loading of a checkpoint, with moments and step count if asked for."""
    request, services = call.body, call.services
    if request.model_id is None:
        model = await _model_from_checkpoint(services, request)
        key: Hashable | None = "load"
    else:
        model, key = services.models.require(request.model_id), request.seq_id
    request_id = _enqueue_load(services, model, key, request)
    return acknowledgement(request_id, model_id=model.record.model_id)


async def weights_info(call: Call[m.WeightsInfoRequest]) -> Response:
    """Describe the adapter in a checkpoint, for a client that creates a model of the same shape."""
    ref = parse_path(call.body.tinker_path)
    shape = await _shape_of(call.services, await call.services.checkpoints.wait_and_get(ref))
    return JSONResponse(
        {
            "base_model": shape.base_model,
            "is_lora": True,
            "lora_rank": shape.rank,
            "train_unembed": shape.train_unembed,
            "train_mlp": shape.train_mlp,
            "train_attn": shape.train_attn,
        }
    )


def _enqueue_load(
    services: Services, model: LiveModel, key: Hashable | None, request: m.LoadWeightsRequest
) -> str:
    ref = parse_path(request.path)
    began = time.perf_counter()
    model_id = model.record.model_id

    async def start() -> asyncio.Future[Result]:
        checkpoint = await services.checkpoints.wait_and_get(ref)
        _check_fits(model.record.shape, await _shape_of(services, checkpoint), str(ref))
        if request.optimizer and ref.kind is CheckpointKind.SAMPLER:
            raise UserError(
                f"`{ref}` was saved for sampling and has no optimizer state; load one saved with"
                " `save_state`, or load without the optimizer"
            )
        command = LoadAdapter(
            model_id=model_id,
            directory=services.checkpoints.directory(checkpoint),
            with_optimizer=request.optimizer,
        )
        return services.submit(command)

    async def finish(_: Result) -> m.JsonResult:
        facts = {"op": "load_weights", "path": str(ref)}
        services.log_step(model_id, time.perf_counter() - began, facts)
        return m.JsonResult(fields={"path": str(ref), "type": "load_weights"})

    return services.enqueue_operation(model, key, start, finish)


async def _model_from_checkpoint(services: Services, request: m.LoadWeightsRequest) -> LiveModel:
    """Return the model of a load addressed by session, created in the shape of the checkpoint."""
    assert request.session_id is not None
    assert request.model_seq_id is not None
    await services.sessions.require(request.session_id)
    ref = parse_path(request.path)
    shape = await _shape_of(services, await services.checkpoints.wait_and_get(ref))
    if request.base_model not in (None, shape.base_model):
        raise UserError(
            f"`{ref}` was trained on `{shape.base_model}`, not on `{request.base_model}`"
        )
    base_model = services.base_model(shape.base_model).name
    spec = LoraSpec(
        rank=shape.rank,
        train_attn=shape.train_attn,
        train_mlp=shape.train_mlp,
        train_unembed=shape.train_unembed,
    )
    source = await asyncio.to_thread(services.store.find_model, ref.model_id)
    inherited = source.user_metadata if source is not None else {}
    record = ModelRecord(
        model_id=model_id_of(request.session_id, request.model_seq_id),
        session_id=request.session_id,
        base_model=base_model,
        rank=shape.rank,
        seed=None,
        train_attn=shape.train_attn,
        train_mlp=shape.train_mlp,
        train_unembed=shape.train_unembed,
        created=time.time(),
        last_request=time.time(),
        user_metadata=request.user_metadata or inherited,
    )
    return enqueue_creation(services, record, spec)[0]


async def _shape_of(services: Services, checkpoint: CheckpointRecord) -> AdapterShape:
    return await asyncio.to_thread(services.checkpoints.shape, checkpoint)


def _check_fits(ours: AdapterShape, saved: AdapterShape, path: str) -> None:
    for name in ("base_model", "rank", "train_attn", "train_mlp", "train_unembed"):
        have, need = getattr(ours, name), getattr(saved, name)
        if have != need:
            raise UserError(
                f"`{path}` was trained with {name}={need}, this model has {name}={have};"
                f" create the training client with {name}={need}"
            )


ENDPOINTS = {
    "load_weights": Endpoint(load_weights, prepare_load, is_future=True),
    "weights_info": Endpoint(weights_info),
}

"""Loading a checkpoint into a model, or into a new model of its shape.

A load runs in the model's line, and waits for a checkpoint that is being written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable

from starlette.responses import JSONResponse, Response

from mint_runtime.engine.commands import LoadAdapter, Result
from mint_runtime.errors import ServerFault, Unprocessable, UserError
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.checkpoints import parse_path
from mint_runtime.service.handlers.models import enqueue_creation, model_id_of
from mint_runtime.service.models import LiveModel
from mint_runtime.service.records import CheckpointKind, ModelRecord
from mint_runtime.service.services import Services
from mint_runtime.wire import messages as m


def prepare_load(services: Services, request: m.LoadWeightsRequest) -> m.LoadWeightsRequest:
    """Check the path and the address."""
    parse_path(request.path)
    if request.model_id is not None:
        services.models.require(request.model_id)
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
    await call.services.checkpoints.wait_and_get(ref)
    record = await _record_of(call.services, ref.model_id)
    return JSONResponse(
        {
            "base_model": record.base_model,
            "is_lora": True,
            "lora_rank": record.rank,
            "train_unembed": record.train_unembed,
            "train_mlp": record.train_mlp,
            "train_attn": record.train_attn,
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
        _check_fits(model.record, await _record_of(services, ref.model_id), str(ref))
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
        services.log_step(model_id, time.perf_counter() - began, m.JsonResult(), facts)
        return m.JsonResult(fields={"path": str(ref), "type": "load_weights"})

    return services.enqueue_operation(model, key, start, finish)


async def _model_from_checkpoint(services: Services, request: m.LoadWeightsRequest) -> LiveModel:
    """Return the model of a load addressed by session, created in the shape of the checkpoint."""
    assert request.session_id is not None
    assert request.model_seq_id is not None
    await services.sessions.require(request.session_id)
    ref = parse_path(request.path)
    await services.checkpoints.wait_and_get(ref)
    saved = await _record_of(services, ref.model_id)
    config = m.LoraConfig(
        rank=saved.rank,
        train_attn=saved.train_attn,
        train_mlp=saved.train_mlp,
        train_unembed=saved.train_unembed,
    )
    spec = convert.lora_spec(config)
    base_model = services.base_model(saved.base_model).name
    record = ModelRecord(
        model_id=model_id_of(request.session_id, request.model_seq_id),
        session_id=request.session_id,
        base_model=base_model,
        rank=saved.rank,
        seed=None,
        train_attn=saved.train_attn,
        train_mlp=saved.train_mlp,
        train_unembed=saved.train_unembed,
        created=time.time(),
        last_request=time.time(),
        user_metadata=request.user_metadata or saved.user_metadata,
    )
    if request.base_model is not None and request.base_model != saved.base_model:
        raise UserError(
            f"`{ref}` was trained on `{saved.base_model}`, not on `{request.base_model}`"
        )
    return enqueue_creation(services, record, spec)[0]


async def _record_of(services: Services, model_id: str) -> ModelRecord:
    record = await asyncio.to_thread(services.store.find_model, model_id)
    if record is None:
        raise ServerFault(f"the catalogue has a checkpoint of `{model_id}` but not the model")
    return record


def _check_fits(model: ModelRecord, saved: ModelRecord, path: str) -> None:
    for name in ("base_model", "rank", "train_attn", "train_mlp", "train_unembed"):
        ours, theirs = getattr(model, name), getattr(saved, name)
        if ours != theirs:
            raise UserError(
                f"`{path}` was trained with {name}={theirs}, this model has {name}={ours};"
                f" create the training client with {name}={theirs}"
            )


ENDPOINTS = {
    "load_weights": Endpoint(load_weights, prepare_load, is_future=True),
    "weights_info": Endpoint(weights_info),
}

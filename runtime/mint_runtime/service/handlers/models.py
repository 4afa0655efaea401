"""Models: create, describe, unload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from starlette.responses import JSONResponse, Response

from mint_runtime.engine.commands import CreateModel, DropModel, LoraSpec, Result
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.futures import Failure
from mint_runtime.service.models import LiveModel
from mint_runtime.service.records import ModelRecord
from mint_runtime.service.services import Services
from mint_runtime.wire import messages as m


def model_id_of(session_id: str, model_seq_id: int) -> str:
    """Return the id of a session's nth model. Clients compute the same text themselves."""
    return f"{session_id}:train:{model_seq_id}"


def prepare_create(
    services: Services, request: m.CreateModelRequest
) -> tuple[m.CreateModelRequest, LoraSpec]:
    """Check the base model and the optimizer before anything is created."""
    services.base_model(request.base_model)
    convert.check_optimizer(request.optimizer_config)
    return request, convert.lora_spec(request.lora_config or m.LoraConfig())


async def create_model(call: Call[tuple[m.CreateModelRequest, LoraSpec]]) -> Response:
    """Queue the creation of a model.

    Repeating `(session_id, model_seq_id)` gives the first request id.
    """
    request, spec = call.body
    settings, sessions = call.services.settings, call.services.sessions
    await sessions.require(request.session_id)
    await sessions.make_room(settings.max_models, settings.abandoned_after_s)
    record = ModelRecord(
        model_id=model_id_of(request.session_id, request.model_seq_id),
        session_id=request.session_id,
        base_model=request.base_model,
        rank=spec.rank,
        seed=spec.seed,
        train_attn=spec.train_attn,
        train_mlp=spec.train_mlp,
        train_unembed=spec.train_unembed,
        created=time.time(),
        last_request=time.time(),
        user_metadata=request.user_metadata or {},
    )
    _, request_id = enqueue_creation(call.services, record, spec)
    return acknowledgement(request_id, model_id=record.model_id)


def enqueue_creation(
    services: Services, record: ModelRecord, spec: LoraSpec
) -> tuple[LiveModel, str]:
    """Queue the creation of `record` unless it is queued or done.

    Return the model and the request id.
    """
    model_id = record.model_id
    model = services.models.find(model_id) or services.models.add(record)
    command = CreateModel(model_id=model_id, base_model=record.base_model, lora=spec)

    async def start() -> Awaitable[Result]:
        # Handed over before this returns, so that the model's next command cannot overtake it.
        return created(services.submit(command))

    async def created(running: Awaitable[Result]) -> Result:
        try:
            result = await running
            await asyncio.to_thread(services.store.put_model, record)
        except Exception as error:
            reason = f"model `{model_id}` could not be created: {error}"
            services.models.remove(model_id, Failure(error=reason, category="user"))
            raise
        return result

    async def finish(_: Result) -> m.JsonResult:
        services.log_step(model_id, time.time() - record.created, {"op": "create_model"})
        return m.JsonResult(fields={"model_id": model_id, "type": "create_model"})

    return model, services.enqueue_operation(model, "create", start, finish)


def prepare_model(services: Services, request: m.ModelRequest) -> LiveModel:
    """Find the model."""
    return services.models.require(request.model_id)


async def get_info(call: Call[LiveModel]) -> Response:
    """Describe a model.

    `tokenizer_id` is what the client hands to `AutoTokenizer` on its own machine.
    """
    record = call.body.record
    info = call.services.base_model(record.base_model)
    return JSONResponse(
        {
            "type": "get_info",
            "model_data": {
                "arch": info.architecture,
                "model_name": info.name,
                "tokenizer_id": info.tokenizer_id,
            },
            "model_id": record.model_id,
            "is_lora": True,
            "lora_rank": record.rank,
            "model_name": info.name,
        }
    )


async def unload_model(call: Call[LiveModel]) -> Response:
    """Queue the dropping of a model's weights; what is queued before it still runs."""
    services, record = call.services, call.body.record

    async def start() -> asyncio.Future[Result]:
        return services.submit(DropModel(model_id=record.model_id))

    async def finish(_: Result) -> m.JsonResult:
        services.models.remove(record.model_id)
        await asyncio.to_thread(services.store.touch_model, record.model_id, time.time())
        return m.JsonResult(fields={"model_id": record.model_id, "type": "unload_model"})

    return acknowledgement(services.enqueue_operation(call.body, "unload", start, finish))


ENDPOINTS = {
    "create_model": Endpoint(create_model, prepare_create, is_future=True),
    "get_info": Endpoint(get_info, prepare_model),
    "unload_model": Endpoint(unload_model, prepare_model, is_future=True),
}

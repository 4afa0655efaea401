"""Sampling: open a sampler, draw from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from starlette.responses import JSONResponse, Response

from mint_runtime.engine.commands import Result, Sample
from mint_runtime.errors import Unprocessable, UserError
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.checkpoints import parse_path
from mint_runtime.service.ordering import Operation, run_alone
from mint_runtime.service.records import SamplerRecord
from mint_runtime.service.services import Services
from mint_runtime.service.steps import Timing
from mint_runtime.wire import messages as m


async def create_sampling_session(call: Call[m.CreateSamplingSessionRequest]) -> Response:
    """Open a sampler on a base model or a checkpoint.

    Repeating the session's number gives the same sampler.
    """
    request, services = call.body, call.services
    await services.sessions.require(request.session_id)
    base_model, path = await _source(services, request)
    record = SamplerRecord(
        sampler_id=f"{request.session_id}:sample:{request.sampling_session_seq_id}",
        session_id=request.session_id,
        base_model=base_model,
        created=time.time(),
        model_path=path,
    )
    sampler = await services.samplers.open(record)
    return JSONResponse(
        {
            "sampling_session_id": sampler.record.sampler_id,
            "type": "create_sampling_session",
        }
    )


async def get_sampler(call: Call[None]) -> Response:
    """Say what a sampler samples from."""
    sampler_id = call.path("sampler_id")
    record = await asyncio.to_thread(call.services.samplers.record, sampler_id)
    body = {"sampler_id": record.sampler_id, "base_model": record.base_model}
    if record.model_path is not None:
        body["model_path"] = record.model_path
    return JSONResponse(body)


def prepare_sample(services: Services, request: m.SampleRequest) -> tuple[m.SampleRequest, Sample]:
    """Convert the body of `asample`."""
    del services
    return request, convert.sample(request)


async def asample(call: Call[tuple[m.SampleRequest, Sample]]) -> Response:
    """Queue a request to sample. Repeating `(sampling_session_id, seq_id)` gives the first id.

    Samplers are immutable, so their requests need no order among themselves.
    """
    (request, command), services = call.body, call.services
    seq_id = request.seq_id
    sampler = await services.samplers.require(command.sampler_id)
    request_id = sampler.repeats.find(seq_id)
    if request_id is None:
        request_id = services.futures.open()
        sampler.repeats.remember(seq_id, request_id)
        timing = Timing()
        sampler.begin()

        async def start() -> Awaitable[Result]:
            return services.submit(command, timing)

        async def finish(result: Result) -> m.SampleResponse:
            output = convert.sample_output(result, request.prompt_logprobs_last_n)
            facts = {
                "op": "sample",
                "prompt_tokens": len(command.tokens),
                "sequences": len(output.sequences),
                "tokens": sum(len(sequence.tokens) for sequence in output.sequences),
            }
            services.steps.done(command.sampler_id, facts, timing)
            return output

        operation = Operation(request_id=request_id, start=start, finish=finish)
        running = services.tasks.spawn(run_alone(operation, services.futures))
        running.add_done_callback(lambda _: sampler.end())
    names = [f"{request_id}-{index}" for index in range(command.num_samples)]
    return acknowledgement(request_id, sample_sequence_ids=names)


async def _source(
    services: Services, request: m.CreateSamplingSessionRequest
) -> tuple[str, str | None]:
    """Return the base model and, for a checkpoint, its path."""
    if request.model_path is None:
        if request.base_model is None:
            raise Unprocessable("one of `base_model` and `model_path` is needed")
        return services.base_model(request.base_model).name, None
    ref = parse_path(request.model_path)
    checkpoint = await services.checkpoints.wait_and_get(ref)
    shape = await asyncio.to_thread(services.checkpoints.shape, checkpoint)
    if request.base_model not in (None, shape.base_model):
        raise UserError(
            f"`{ref}` was trained on `{shape.base_model}`, not on `{request.base_model}`"
        )
    return services.base_model(shape.base_model).name, str(ref)


ENDPOINTS = {
    "create_sampling_session": Endpoint(create_sampling_session),
    "get_sampler": Endpoint(get_sampler),
    "asample": Endpoint(asample, prepare_sample, is_future=True),
}

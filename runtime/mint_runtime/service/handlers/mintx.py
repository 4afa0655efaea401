"""What the `mint` package adds to the protocol: reverse KL as a loss, and mixing checkpoints.

Their requests carry no number of their own, so a repeated one is known by the key that the HTTP
layer of the client gives it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mint_runtime.engine.commands import (
    InterpolateAdapters,
    Result,
    ReverseKLDatum,
    ReverseKLStep,
)
from mint_runtime.errors import NotFound, Unprocessable, UserError
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.checkpoints import (
    CheckpointRef,
    Details,
    check_name,
    is_checkpoint_path,
    parse_path,
)
from mint_runtime.service.models import LiveModel
from mint_runtime.service.ordering import Operation, run_alone
from mint_runtime.service.records import AdapterShape, CheckpointKind
from mint_runtime.service.services import Services
from mint_runtime.service.steps import Timing
from mint_runtime.wire import messages as m


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedKL:
    """A reverse KL step that still lacks the sampler of its reference."""

    model: LiveModel
    seq_id: int | None
    reference: CheckpointRef | None
    """None is the bare base model."""
    data: tuple[ReverseKLDatum, ...]
    temperature: float


def prepare_reverse_kl(services: Services, request: m.ReverseKLRequest) -> PreparedKL:
    """Find the model and its reference, and convert the data."""
    model = services.models.require(request.model_id)
    path = request.reference_model_path
    reference = parse_path(path) if is_checkpoint_path(path) else None
    base_model = model.record.base_model
    if reference is None and services.base_model(path).name != base_model:
        raise UserError(f"the reference `{path}` is another base model than the student's")
    return PreparedKL(
        model=model,
        seq_id=request.seq_id,
        reference=reference,
        data=convert.reverse_kl_data(request),
        temperature=request.temperature,
    )


async def reverse_kl(call: Call[PreparedKL]) -> Response:
    """Queue a pass of the reverse KL loss in the model's line."""
    one, services = call.body, call.services
    record, timing = one.model.record, Timing()
    steps: list[ReverseKLStep] = []

    async def start() -> asyncio.Future[Result]:
        sampler_id = await services.samplers.open_reference(
            record.session_id, record.base_model, one.reference
        )
        step = ReverseKLStep(
            model_id=record.model_id,
            reference_sampler_id=sampler_id,
            data=one.data,
            temperature=one.temperature,
        )
        steps.append(step)
        return services.submit(step, timing)

    async def finish(result: Result) -> m.ReverseKLOutput:
        output = convert.reverse_kl_output(result)
        facts = {"op": "forward_backward_reverse_kl", "datums": len(one.data)}
        services.steps.done(record.model_id, facts, timing, command=steps[0], result=result)
        return output

    # A number that a caller chose may be one that its client has given to another operation.
    numbered = one.seq_id is not None
    key = ("reverse_kl", one.seq_id) if numbered else _key_of(call.request)
    return acknowledgement(services.enqueue_operation(one.model, key, start, finish))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedMix:
    """Checkpoints to mix and where the result goes."""

    request: m.InterpolateRequest
    sources: tuple[CheckpointRef, ...]
    output: CheckpointRef


def prepare_interpolate(services: Services, request: m.InterpolateRequest) -> PreparedMix:
    """Check paths, numbers and the name of the result."""
    if not request.source_paths:
        raise Unprocessable("`source_paths` is empty; name at least one checkpoint")
    num_paths, num_coefficients = len(request.source_paths), len(request.coefficients)
    if num_paths != num_coefficients:
        raise Unprocessable(
            f"`coefficients` has {num_coefficients} numbers for {num_paths} `source_paths`;"
            " each path needs one"
        )
    sources = tuple(parse_path(path) for path in request.source_paths)
    output = _output(services, request.output_path, sources[0])
    return PreparedMix(request=request, sources=sources, output=output)


async def interpolate(call: Call[PreparedMix]) -> Response:
    """Start mixing checkpoints into a new one. It belongs to the run of the first source."""
    one, services = call.body, call.services
    key = _key_of(call.request)
    request_id = services.repeats.find(key)
    if request_id is None:
        request_id = services.futures.open()
        services.repeats.remember(key, request_id)
        operation = _mixing(services, one, request_id)
        services.tasks.spawn(run_alone(operation, services.futures))
    return acknowledgement(request_id)


def _mixing(services: Services, one: PreparedMix, request_id: str) -> Operation:
    timing = Timing()

    async def start() -> Awaitable[Result]:
        base_model, folders = await _sources(services, one.sources)

        def write(directory: Path) -> Awaitable[Result]:
            command = InterpolateAdapters(
                base_model=base_model,
                sources=folders,
                coefficients=one.request.coefficients,
                directory=directory,
            )
            return services.submit(command, timing)

        details = Details(shape=lambda directory: _mixed_shape(base_model, directory))
        return await services.checkpoints.save(one.output, write, overwrite=False, details=details)

    async def finish(_: Result) -> m.JsonResult:
        path = str(one.output)
        facts = {"op": "interpolate_checkpoints", "path": path, "sources": len(one.sources)}
        services.steps.done(one.output.model_id, facts, timing)
        return m.JsonResult(
            fields={
                "path": path,
                "checkpoint_type": "sampler",
                "source_paths": one.request.source_paths,
                "coefficients": one.request.coefficients,
                "has_rank_shards": False,
                "type": "mint_interpolate_checkpoints",
            }
        )

    return Operation(request_id=request_id, start=start, finish=finish)


async def _sources(
    services: Services, refs: tuple[CheckpointRef, ...]
) -> tuple[str, tuple[Path, ...]]:
    """Return the base model that all checkpoints share, and their folders."""
    folders, base_models = [], []
    for ref in refs:
        checkpoint = await services.checkpoints.wait_and_get(ref)
        shape = await asyncio.to_thread(services.checkpoints.shape, checkpoint)
        folders.append(services.checkpoints.directory(checkpoint))
        base_models.append(shape.base_model)
    for ref, base_model in zip(refs, base_models, strict=True):
        if base_model != base_models[0]:
            raise UserError(
                f"`{ref}` was trained on `{base_model}` and `{refs[0]}` on `{base_models[0]}`;"
                " checkpoints of different base models cannot be mixed"
            )
    return services.base_model(base_models[0]).name, tuple(folders)


def _output(services: Services, path: str | None, first: CheckpointRef) -> CheckpointRef:
    if path is None:
        path = f"interpolated-{secrets.token_hex(4)}"
    if not is_checkpoint_path(path):
        return CheckpointRef(
            model_id=first.model_id, kind=CheckpointKind.SAMPLER, name=check_name(path)
        )
    ref = parse_path(path)
    check_name(ref.name)
    if ref.kind is not CheckpointKind.SAMPLER:
        raise UserError(f"`output_path` is `{path}`; a mix is for sampling: `.../sampler_weights/`")
    if services.store.find_model(ref.model_id) is None:
        raise NotFound(
            f"`output_path` names training run `{ref.model_id}`, which is not known to this server;"
            " give a name only"
        )
    return ref


def _mixed_shape(base_model: str, directory: Path) -> AdapterShape:
    """Return the shape of a written mix; its rank is only known then."""
    config: dict[str, Any] = json.loads(
        (directory / "adapter_config.json").read_text(encoding="utf-8")
    )
    layers = (name.rpartition(".")[2] for name in config["target_modules"])
    return convert.adapter_shape(base_model, config["r"], layers)


def _key_of(request: Request) -> Hashable | None:
    value = request.headers.get("x-idempotency-key")
    return None if value is None else ("key", value)


ENDPOINTS = {
    "reverse_kl": Endpoint(reverse_kl, prepare_reverse_kl, is_future=True),
    "interpolate": Endpoint(interpolate, prepare_interpolate, is_future=True),
}

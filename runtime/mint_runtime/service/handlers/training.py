"""Training: forward, forward with backward, optimizer step.

Operations of one model run in the order in which they arrive. A repeated `(model_id, seq_id)` gives
the first request's id and runs nothing; numbers may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from mint_runtime.engine.commands import OptimStep, Result, TrainStep
from mint_runtime.service import convert
from mint_runtime.service.call import Call, Endpoint, acknowledgement
from mint_runtime.service.models import LiveModel
from mint_runtime.service.services import Services
from mint_runtime.wire import messages as m


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command and where it goes."""

    model: LiveModel
    seq_id: int | None
    command: TrainStep | OptimStep
    facts: dict[str, Any]


def prepare_forward(services: Services, request: m.ForwardRequest) -> Prepared:
    """Check and convert the body of `forward`."""
    return _prepared(services, request.model_id, request.seq_id, request.forward_input, False)


def prepare_forward_backward(services: Services, request: m.ForwardBackwardRequest) -> Prepared:
    """Check and convert the body of `forward_backward`."""
    backward = not request.forward_only
    loss = request.forward_backward_input
    return _prepared(services, request.model_id, request.seq_id, loss, backward)


def prepare_optim_step(services: Services, request: m.OptimStepRequest) -> Prepared:
    """Check and convert the body of `optim_step`."""
    model = services.models.require(request.model_id)
    command = convert.optim_step(request)
    facts = {"op": "optim_step", "learning_rate": command.learning_rate}
    return Prepared(model, request.seq_id, command, facts)


async def train(call: Call[Prepared]) -> Response:
    """Queue a pass over the data; its future is a ForwardBackwardOutput."""
    return _queued(call, convert.train_output)


async def optim_step(call: Call[Prepared]) -> Response:
    """Queue an optimizer step over the gradients of all passes since the last one."""
    return _queued(call, convert.optim_output)


def _prepared(
    services: Services, model_id: str, seq_id: int | None, loss: m.LossInput, backward: bool
) -> Prepared:
    model = services.models.require(model_id)
    command = convert.train_step(model_id, loss, services.capabilities, backward=backward)
    facts = {
        "op": "forward_backward" if backward else "forward",
        "loss_fn": loss.loss_fn,
        "datums": len(command.data),
        "tokens": sum(len(datum.tokens) for datum in command.data),
    }
    return Prepared(model, seq_id, command, facts)


def _queued(call: Call[Prepared], finish: Callable[[Result], m.OperationResult]) -> Response:
    one = call.body
    request_id = call.services.enqueue(one.model, one.seq_id, one.command, finish, **one.facts)
    return acknowledgement(request_id, model_id=one.model.record.model_id)


ENDPOINTS = {
    "forward": Endpoint(train, prepare_forward, is_future=True),
    "forward_backward": Endpoint(train, prepare_forward_backward, is_future=True),
    "optim_step": Endpoint(optim_step, prepare_optim_step, is_future=True),
}

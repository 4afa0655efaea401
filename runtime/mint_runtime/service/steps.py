"""What an operation was, how long it waited, what came of it: for log, metrics and status page.

A loss is shown per trained token, so that batches of different sizes can be compared: the sum that
the loss returns, divided by the weight of the targets that count.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from mint_runtime.engine.commands import (
    Array,
    Command,
    OptimResult,
    OptimStep,
    Result,
    ReverseKLStep,
    TrainResult,
    TrainStep,
)
from mint_runtime.engine.protocol import Engine
from mint_runtime.observe.history import History
from mint_runtime.observe.metrics import Metrics
from mint_runtime.observe.rates import Rates

_STEPS = logging.getLogger("mint_runtime.steps")
_READ_EVERY_S = 2.0


class Timing:
    """When an operation arrived, and when the engine began with it."""

    def __init__(self) -> None:
        self.arrived = time.perf_counter()
        self.began: float | None = None

    @classmethod
    def ended(cls, seconds: float) -> Timing:
        """Return the timing of something that has just ended."""
        timing = cls()
        timing.arrived -= seconds
        return timing

    def watch(self, future: Future[Result]) -> None:
        """Note the moment at which the engine marks `future` as running.

        Futures call back at their end only; this one is ours from here on, so its method is.
        """
        mark_running = future.set_running_or_notify_cancel

        def marked() -> bool:
            self.began = time.perf_counter()
            # Otherwise the future would hold itself, and its result, until a garbage collection.
            future.__dict__.pop("set_running_or_notify_cancel", None)
            return mark_running()

        future.set_running_or_notify_cancel = marked  # type: ignore[method-assign]
        if future.running() or future.done():
            self.began = time.perf_counter()
            future.__dict__.pop("set_running_or_notify_cancel", None)

    def wait(self) -> float | None:
        """Return seconds between the two, None while the engine has not begun."""
        return None if self.began is None else self.began - self.arrived

    def seconds(self) -> float:
        """Return seconds since the arrival."""
        return time.perf_counter() - self.arrived


class Steps:
    """Writes one line per operation and keeps what people and Prometheus ask for."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.history = History()
        self.rates = Rates()
        self.started = time.time()

    def done(
        self,
        subject: str,
        facts: Mapping[str, Any],
        timing: Timing,
        *,
        command: Command | None = None,
        result: Result | None = None,
    ) -> None:
        """Record an operation that ended well.

        Args:
            subject: id of the model or sampler.
            facts: `op`, the operation's name, and what else its line shall say.
            timing: of the operation.
            command: what the engine was asked, when it was one command.
            result: what the engine answered to it.
        """
        metrics = result.metrics if isinstance(result, TrainResult | OptimResult) else {}
        outcome = self._outcome(command, metrics)
        wait = timing.wait()
        entry = {
            "model": subject,
            "session": subject.partition(":")[0],
            **{name: value for name, value in facts.items() if name != "op"},
            **outcome,
            "seconds": round(timing.seconds(), 4),
            "wait": None if wait is None else round(wait, 4),
        }
        op = str(facts.get("op", "operation"))
        self.metrics.operation(op, timing.seconds(), wait)
        self.history.event({"op": op, **entry})
        _STEPS.info("%s", op, extra={"facts": {"op": op, **entry}})

    async def watch(self, engine: Engine) -> None:
        """Read the engine's counters every few seconds, until cancelled."""
        while True:
            stats = engine.stats()
            self.rates.read(time.monotonic(), stats.trained_tokens, stats.sampled_tokens)
            await asyncio.sleep(_READ_EVERY_S)

    def _outcome(self, command: Command | None, metrics: Mapping[str, float]) -> dict[str, Any]:
        match command:
            case TrainStep() | ReverseKLStep():
                return self._passed(command, metrics.get("loss:sum"))
            case OptimStep():
                return self._stepped(command, metrics)
            case _:
                return {}

    def _passed(self, command: TrainStep | ReverseKLStep, loss: float | None) -> dict[str, Any]:
        if loss is None:
            return {}
        weight = _weight(command)
        if isinstance(command, ReverseKLStep):
            name, backward = "reverse_kl", True
            tokens = sum(len(datum.student_tokens) for datum in command.data)
        else:
            name, backward = command.loss_fn, command.backward
            tokens = sum(len(datum.tokens) for datum in command.data)
        if backward:
            self.history.passed(
                command.model_id, loss_fn=name, tokens=tokens, loss=loss, weight=weight
            )
        return {"loss": loss / weight if weight else None, "loss_sum": loss}

    def _stepped(self, command: OptimStep, metrics: Mapping[str, float]) -> dict[str, Any]:
        grad_norm = next(
            (value for name, value in metrics.items() if name.partition(":")[0] == "grad_norm"),
            None,
        )
        loss = self.history.stepped(
            command.model_id, learning_rate=command.learning_rate, grad_norm=grad_norm
        )
        if loss is not None:
            self.metrics.loss(command.model_id, loss)
        return {"loss": loss, "grad_norm": grad_norm, "learning_rate": command.learning_rate}


def _weight(command: TrainStep | ReverseKLStep) -> float:
    """Return the weight of all targets that count: their weights, or one each."""
    if isinstance(command, ReverseKLStep):
        return sum(_total(datum.weights) for datum in command.data)
    return sum(_weight_of(datum.inputs) for datum in command.data)


def _weight_of(inputs: Mapping[str, Array]) -> float:
    if "weights" in inputs:
        return _total(inputs["weights"])
    if "advantages" in inputs:
        return float(np.count_nonzero(inputs["advantages"]))
    return float(inputs["target_tokens"].size)


def _total(weights: Array) -> float:
    """Return the sum of weights; with negative ones among them, their number."""
    if weights.size and weights.min() < 0:
        return float(np.count_nonzero(weights))
    return float(weights.sum())

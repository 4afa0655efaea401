"""What each training run has done so far, and what the server did lately, in bounded memory.

For people who look at a running server. Methods may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mint_runtime.observe.curve import Curve

MAX_RUNS = 64
MAX_EVENTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One run as it stands."""

    model_id: str
    steps: int
    """Optimizer steps."""
    tokens: int
    """Tokens of all passes with gradient."""
    loss_fn: str | None
    loss: float | None
    """Of the last step, per trained token."""
    grad_norm: float | None
    learning_rate: float | None
    last_event: float
    """Seconds since the epoch."""
    curve: tuple[tuple[float, float], ...]
    """(step, loss per trained token) over the whole run."""


@dataclass(slots=True, kw_only=True)
class _Run:
    curve: Curve = field(default_factory=Curve)
    steps: int = 0
    tokens: int = 0
    loss_fn: str | None = None
    loss: float | None = None
    grad_norm: float | None = None
    learning_rate: float | None = None
    last_event: float = 0.0
    loss_sum: float = 0.0
    """Since the last optimizer step."""
    weight_sum: float = 0.0
    """Since the last optimizer step."""


class History:
    """The runs that were active last, and the latest operations of all."""

    def __init__(self, max_runs: int = MAX_RUNS, max_events: int = MAX_EVENTS) -> None:
        self._max_runs = max_runs
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._events: deque[Mapping[str, Any]] = deque(maxlen=max_events)
        self._lock = threading.Lock()

    def passed(
        self, model_id: str, *, loss_fn: str, tokens: int, loss: float, weight: float
    ) -> None:
        """Add a pass with gradient; several may make one step.

        Args:
            model_id: whose pass it is.
            loss_fn: name of the loss.
            tokens: positions that were read.
            loss: summed over targets, as the loss defines it.
            weight: number or weight of the targets that count, to show the loss per token.
        """
        with self._lock:
            run = self._run(model_id)
            run.tokens += tokens
            run.loss_fn = loss_fn
            run.loss_sum += loss
            run.weight_sum += weight

    def stepped(
        self, model_id: str, *, learning_rate: float, grad_norm: float | None
    ) -> float | None:
        """Close a step; return its loss per trained token, None when no pass came before it."""
        with self._lock:
            run = self._run(model_id)
            run.steps += 1
            run.learning_rate, run.grad_norm = learning_rate, grad_norm
            if run.weight_sum <= 0:
                return None
            run.loss = run.loss_sum / run.weight_sum
            run.loss_sum = run.weight_sum = 0.0
            run.curve.add(run.loss)
            return run.loss

    def event(self, facts: Mapping[str, Any]) -> None:
        """Remember an operation among the latest."""
        with self._lock:
            self._events.append({"time": time.time(), **facts})

    def events(self) -> list[Mapping[str, Any]]:
        """Return the latest operations, newest first."""
        with self._lock:
            return list(reversed(self._events))

    def runs(self) -> dict[str, RunView]:
        """Return all runs that are remembered, by model id."""
        with self._lock:
            return {model_id: _view(model_id, run) for model_id, run in self._runs.items()}

    def _run(self, model_id: str) -> _Run:
        run = self._runs.setdefault(model_id, _Run())
        self._runs.move_to_end(model_id)
        run.last_event = time.time()
        while len(self._runs) > self._max_runs:
            self._runs.popitem(last=False)
        return run


def _view(model_id: str, run: _Run) -> RunView:
    return RunView(
        model_id=model_id,
        steps=run.steps,
        tokens=run.tokens,
        loss_fn=run.loss_fn,
        loss=run.loss,
        grad_norm=run.grad_norm,
        learning_rate=run.learning_rate,
        last_event=run.last_event,
        curve=run.curve.points(),
    )

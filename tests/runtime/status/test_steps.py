"""The line of a step: what it says, and how long it says the step waited."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mint_runtime.engine.commands import (
    Datum,
    Result,
    ReverseKLDatum,
    ReverseKLStep,
    TrainResult,
    TrainStep,
)
from mint_runtime.service.steps import Steps, Timing
from support.service import Api, running_api

RESULT = TrainResult(outputs=(), metrics={"loss:sum": 6.0})
TARGETS = np.array([1, 2, 3])


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "state") as running:
        yield running


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Kept]:
    """Yield the lines of steps, as they are logged."""
    logger, kept = logging.getLogger("mint_runtime.steps"), Kept()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(kept)
    yield kept
    logger.removeHandler(kept)
    logger.setLevel(before)


def facts(lines: Kept, op: str) -> dict[str, Any]:
    """Return the facts of the only line about `op`."""
    (record,) = [one for one in lines.records if one.getMessage() == op]
    return record.facts  # type: ignore[attr-defined, no-any-return]


def test_a_step_is_one_line_that_says_whose_and_how_it_went(api: Api, lines: Kept) -> None:
    model = api.model()
    api.result(api.train(model, 1, 2, 4))
    adam = {"learning_rate": 1e-3}
    api.result(api.post("optim_step", model_id=model, seq_id=2, adam_params=adam))
    passed, stepped = facts(lines, "forward_backward"), facts(lines, "optim_step")
    assert (passed["model"], passed["session"]) == (model, model.partition(":")[0])
    assert (passed["datums"], passed["tokens"], passed["loss"]) == (1, 2, 3.0)
    assert 0 <= passed["wait"] <= passed["seconds"]
    assert (stepped["loss"], stepped["grad_norm"], stepped["learning_rate"]) == (3.0, 1.0, 1e-3)


def test_the_wait_is_the_time_before_the_engine_begins(api: Api, lines: Kept) -> None:
    model = api.model()
    api.engine.gate.clear()
    ack = api.train(model, 1)
    api.post("get_info", model_id=model)
    api.engine.gate.set()
    api.result(ack)
    passed = facts(lines, "forward_backward")
    # The fake engine computes nothing, so what it took is nearly all waiting.
    assert passed["wait"] > 0.5 * passed["seconds"]


def test_a_future_that_was_running_already_has_not_waited() -> None:
    timing, future = Timing(), Future[Result]()
    future.set_running_or_notify_cancel()
    timing.watch(future)
    assert timing.wait() is not None


def test_a_future_that_has_not_begun_has_no_wait_yet() -> None:
    timing, future = Timing(), Future[Result]()
    timing.watch(future)
    assert timing.wait() is None
    assert future.set_running_or_notify_cancel() is True
    assert timing.wait() is not None


@pytest.mark.parametrize(
    ("inputs", "loss"),
    [
        ({"weights": np.array([0.0, 0.5, 1.5])}, 3.0),
        ({"weights": np.array([-1.0, 1.0, 0.0])}, 3.0),
        ({"advantages": np.array([0.0, -1.0, 1.0]), "logprobs": np.zeros(3)}, 3.0),
        ({}, 2.0),
        ({"weights": np.zeros(3)}, None),
    ],
    ids=["weights", "signed weights", "advantages", "neither", "nothing counts"],
)
def test_a_loss_is_shown_per_target_that_counts(inputs: dict[str, Any], loss: float | None) -> None:
    steps = Steps()
    datum = Datum(tokens=TARGETS, inputs={"target_tokens": TARGETS, **inputs})
    command = TrainStep(model_id="s:train:0", data=(datum,), loss_fn="ppo")
    steps.done("s:train:0", {"op": "x"}, Timing(), command=command, result=RESULT)
    (event,) = steps.history.events()
    assert (event["loss"], event["loss_sum"]) == (loss, 6.0)


def test_a_pass_without_gradient_is_no_part_of_a_run() -> None:
    steps = Steps()
    datum = Datum(tokens=TARGETS, inputs={"target_tokens": TARGETS})
    command = TrainStep(model_id="m", data=(datum,), loss_fn="ppo", backward=False)
    steps.done("m", {"op": "forward"}, Timing(), command=command, result=RESULT)
    assert steps.history.runs() == {}


def test_distillation_counts_as_training() -> None:
    steps = Steps()
    datum = ReverseKLDatum(
        student_tokens=TARGETS,
        reference_tokens=TARGETS,
        target_tokens=TARGETS,
        weights=np.array([0, 1, 1], dtype=np.float32),
    )
    command = ReverseKLStep(model_id="m", reference_sampler_id="r", data=(datum,))
    steps.done("m", {"op": "reverse_kl"}, Timing(), command=command, result=RESULT)
    steps.history.stepped("m", learning_rate=0.1, grad_norm=None)
    run = steps.history.runs()["m"]
    assert (run.loss, run.tokens, run.loss_fn) == (3.0, 3, "reverse_kl")


@pytest.mark.parametrize("begins_before", [True, False], ids=["begun", "waiting"])
def test_a_watched_future_goes_with_the_last_who_holds_it(begins_before: bool) -> None:
    gc.disable()
    try:
        future: Future[Result] = Future()
        if begins_before:
            future.set_running_or_notify_cancel()
        timing = Timing()
        timing.watch(future)
        if not begins_before:
            future.set_running_or_notify_cancel()
        future.set_result(RESULT)
        gone = weakref.ref(future)
        del future
        assert gone() is None
        assert timing.wait() is not None
    finally:
        gc.enable()

"""The queue and the thread: what waits, what fails, and what goes on all the same."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from mint_runtime.engine.commands import (
    Done,
    DropModel,
    DropSampler,
    OpenSampler,
    ReverseKLDatum,
    ReverseKLStep,
    SaveAdapter,
    SnapshotSampler,
)
from mint_runtime.engine.local import LocalEngine
from mint_runtime.engine.loop import EngineLoop
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.errors import NotFound, ServerFault, UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.model.memory import PassBudget
from mint_runtime.sampler.store import PageStore
from support.engine_calls import DATA, PROMPT, create, do, greedy, logprobs, loss
from support.tiny import running_engine, settings, step


def test_failed_command_does_not_stop_the_next(engine):
    failed = engine.submit(step(*DATA))

    do(engine, create())

    assert isinstance(failed.exception(timeout=60), NotFound)
    assert np.isfinite(loss(engine))


def test_submit_returns_while_a_command_runs(engine):
    do(engine, create())
    started, release = threading.Event(), threading.Event()

    def hold(_: Future) -> None:
        started.set()
        release.wait(60)

    # A callback of a future runs on the engine's thread and keeps it busy.
    first = engine.submit(step(*DATA))
    first.add_done_callback(hold)
    if not started.wait(60):
        raise AssertionError("the engine never reached the callback")
    second = engine.submit(step(*DATA))

    assert not second.done()
    release.set()
    assert second.result(timeout=60).metrics["loss:sum"]


def test_cancelled_command_is_skipped(engine):
    do(engine, create())
    busy = [engine.submit(step(*DATA)) for _ in range(20)]
    doomed = engine.submit(DropModel(model_id="m"))

    assert doomed.cancel()

    assert busy[-1].result(timeout=60)
    assert np.isfinite(loss(engine))


def test_close_fails_what_is_queued_and_what_comes_later(tiny_directory):
    engine = LocalEngine(settings(tiny_directory))
    do(engine, create())
    queued = [engine.submit(step(*DATA)) for _ in range(200)]

    engine.close()
    engine.close()

    assert all(future.done() for future in queued)
    with pytest.raises(ServerFault, match="shut down"):
        queued[-1].result()
    with pytest.raises(ServerFault, match="shut down"):
        engine.submit(greedy()).result(timeout=60)


def test_no_base_model_is_refused():
    with pytest.raises(UserError, match="no base model is configured"):
        LocalEngine(EngineSettings(base_models=()))


def test_two_base_models_of_one_name_are_refused(tiny_directory):
    twice = (("tiny", str(tiny_directory)),) * 2

    with pytest.raises(UserError, match="two base models are called 'tiny'"):
        LocalEngine(EngineSettings(base_models=twice))


def test_something_that_is_no_command_is_a_type_error(engine):
    with pytest.raises(TypeError, match="str is not a command"):
        engine.submit("train").result(timeout=60)


def test_sampler_that_is_dropped_while_it_is_opened_is_gone(engine):
    opened = engine.submit(OpenSampler(sampler_id="s", base_model="tiny"))
    dropped = engine.submit(DropSampler(sampler_id="s"))

    assert (opened.result(60), dropped.result(60)) == (Done(), Done())
    with pytest.raises(NotFound, match="no sampler 's'"):
        logprobs(engine)


def raising_once(function, error):
    """Return `function`, which raises `error` when it is called first."""
    errors = [error]

    def wrapped(*args, **kwargs):
        if errors:
            raise errors.pop()
        return function(*args, **kwargs)

    return wrapped


def test_pass_whose_width_cannot_be_found_fails_its_step_only(engine, monkeypatch):
    do(engine, create())
    failing = raising_once(PassBudget.max_rows, RuntimeError("no memory to measure"))
    monkeypatch.setattr(PassBudget, "max_rows", failing)

    with pytest.raises(RuntimeError, match="no memory to measure"):
        loss(engine)

    assert loss(engine) != 0


def test_engine_goes_on_when_the_cache_cannot_grow(engine, monkeypatch):
    do(engine, create(), SnapshotSampler(model_id="m", sampler_id="s"))
    failing = raising_once(PageStore.require, RuntimeError("no memory for pages"))
    monkeypatch.setattr(PageStore, "require", failing)

    with pytest.raises(RuntimeError, match="no memory for pages"):
        logprobs(engine)

    assert len(logprobs(engine)) > 0
    assert loss(engine) != 0


def test_engine_outlives_a_turn_that_raises(engine, monkeypatch):
    do(engine, create(), SnapshotSampler(model_id="m", sampler_id="s"))
    failing = raising_once(EngineLoop._draw, RuntimeError("a bug in the loop"))
    monkeypatch.setattr(EngineLoop, "_draw", failing)

    with pytest.raises(RuntimeError, match="a bug in the loop"):
        logprobs(engine)

    assert len(logprobs(engine)) > 0
    assert loss(engine) != 0


def test_file_job_that_cannot_start_fails_alone_and_does_not_block_its_model(
    engine, monkeypatch, tmp_path
):
    do(engine, create())
    save = SaveAdapter(model_id="m", directory=tmp_path / "a", with_optimizer=False)
    failing = raising_once(ThreadPoolExecutor.submit, RuntimeError("can't start new thread"))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", failing)

    with pytest.raises(RuntimeError, match="new thread"):
        do(engine, save)

    assert do(engine, save) == Done()


def test_base_models_share_what_one_alone_would_take_for_its_cache(tiny_directory, monkeypatch):
    monkeypatch.setattr("mint_runtime.sampler.limits.available_bytes", lambda _: 2**30)
    twice = (("a", str(tiny_directory)), ("b", str(tiny_directory)))
    with (
        running_engine(tiny_directory) as one,
        running_engine(tiny_directory, base_models=twice) as two,
    ):
        pages = [engine.stats().num_cache_pages for engine in (one, two)]

    assert pages[0] > 0
    assert pages[1] == pytest.approx(pages[0], abs=2)


KL = ReverseKLStep(
    model_id="m",
    reference_sampler_id="s",
    data=(
        ReverseKLDatum(
            student_tokens=PROMPT,
            reference_tokens=PROMPT,
            target_tokens=PROMPT,
            weights=np.ones(len(PROMPT), dtype=np.float32),
        ),
    ),
)


@pytest.mark.parametrize(
    "command", [step(*DATA), KL, greedy()], ids=["training", "reverse KL", "sampling"]
)
def test_tensors_of_a_pass_that_failed_are_freed_at_once(engine, monkeypatch, command):
    do(engine, create(), SnapshotSampler(model_id="m", sampler_id="s"))
    made = []
    hidden = BaseModel.hidden

    def fail_after(*args):
        rows = hidden(*args)
        made.append(weakref.ref(rows))
        raise RuntimeError("no memory left")

    monkeypatch.setattr(BaseModel, "hidden", fail_after)
    monkeypatch.setattr(PassBudget, "max_rows", lambda _: 4096)
    # What is logged here is kept by the test runner, tracebacks included.
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        failure = engine.submit(command).exception(timeout=60)
        do(engine, DropSampler(sampler_id="nobody"))
        alive = [ref for ref in made if ref() is not None]
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)

    assert str(failure) == "no memory left"
    assert made
    assert not alive

"""The queue and the thread, and every command through the front door."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mint_runtime.engine.commands import (
    CreateModel,
    Done,
    DropModel,
    DropSampler,
    LoadAdapter,
    LoraSpec,
    OpenSampler,
    ReverseKLDatum,
    ReverseKLStep,
    Sample,
    SaveAdapter,
    SnapshotSampler,
    TrainStep,
)
from mint_runtime.engine.local import LocalEngine
from mint_runtime.engine.loop import EngineLoop
from mint_runtime.engine.protocol import Engine
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.errors import NotFound, ServerFault, UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.model.memory import PassBudget
from mint_runtime.sampler.store import PageStore
from support.tiny import VOCAB_SIZE, build_small, datum, optim, running_engine, settings, step
from transformers import AutoTokenizer

PROMPT = np.arange(5, 15)
DATA = tuple(datum(length, seed) for seed, length in enumerate((12, 30, 7)))


def do(engine, *commands):
    """Run commands in order and return the last result."""
    futures = [engine.submit(command) for command in commands]
    return [future.result(timeout=60) for future in futures][-1]


def create(model_id="m", base_model="tiny", seed=0, rank=4):
    lora = LoraSpec(rank=rank, seed=seed)
    return CreateModel(model_id=model_id, base_model=base_model, lora=lora)


def greedy(sampler_id="s"):
    return Sample(sampler_id=sampler_id, tokens=PROMPT, max_tokens=8, temperature=0.0)


def loss(engine):
    return do(engine, step(*DATA, backward=False)).metrics["loss:sum"]


def logprobs(engine, sampler_id="s"):
    return do(engine, greedy(sampler_id)).sequences[0].logprobs


def test_local_engine_is_an_engine(engine):
    promised: Engine = engine

    assert isinstance(promised.submit(DropModel(model_id="nobody")), Future)


def test_capabilities_describe_the_base_model_and_the_losses(engine, tiny_directory):
    capabilities = engine.capabilities()

    (info,) = capabilities.base_models
    assert (info.name, info.vocab_size, info.architecture) == (
        "tiny",
        VOCAB_SIZE,
        "Qwen3ForCausalLM",
    )
    assert Path(info.tokenizer_id) == tiny_directory
    assert AutoTokenizer.from_pretrained(info.tokenizer_id).eos_token == "<|im_end|>"
    assert capabilities.losses["cross_entropy"] == frozenset()
    assert "clip_low_threshold" in capabilities.losses["ppo"]


def test_relative_model_path_becomes_an_absolute_tokenizer_id(tiny_directory, monkeypatch):
    monkeypatch.chdir(tiny_directory.parent)

    with running_engine(Path(tiny_directory.name)) as engine:
        (info,) = engine.capabilities().base_models

    assert Path(info.tokenizer_id) == tiny_directory


def test_training_lowers_the_loss(engine):
    do(engine, create())
    before = loss(engine)

    for _ in range(3):
        do(engine, step(*[datum(20, 1, mask=np.ones(1))]), optim())

    assert do(engine, step(*DATA), optim(learning_rate=1e-3)).metrics["grad_norm"] > 0
    assert loss(engine) < before


def test_commands_of_a_model_run_in_the_order_they_were_submitted(engine):
    commands = [create()]
    for _ in range(5):
        commands += [step(*DATA), optim()]
    futures = [engine.submit(command) for command in commands]

    sums = [future.result().metrics["loss:sum"] for future in futures[1::2]]

    assert len(set(sums)) == 5


def test_models_do_not_influence_each_other(engine):
    do(engine, create(), create("other", seed=0))
    before = loss(engine)
    elsewhere = TrainStep(model_id="other", data=DATA, loss_fn="cross_entropy")

    do(engine, elsewhere)

    assert loss(engine) == before
    with pytest.raises(UserError, match="forward_backward must come first"):
        do(engine, optim())


def test_several_base_models_are_served_side_by_side(tiny_directory, tmp_path):
    llama = build_small(tmp_path / "llama", "llama")
    bases = (("tiny", str(tiny_directory)), ("llama", str(llama)))
    with running_engine(tiny_directory, base_models=bases) as engine:
        do(engine, create(), create("m2", "llama"))
        on_llama = TrainStep(model_id="m2", data=DATA, loss_fn="cross_entropy")

        assert do(engine, on_llama).metrics["loss:sum"] != loss(engine)


def test_snapshot_does_not_follow_later_training(engine):
    do(engine, create(), step(*DATA), optim(), SnapshotSampler(model_id="m", sampler_id="s"))
    before = logprobs(engine)

    do(engine, step(*DATA), optim(), SnapshotSampler(model_id="m", sampler_id="later"))

    assert np.array_equal(logprobs(engine), before)
    assert not np.array_equal(logprobs(engine, "later"), before)


def test_snapshot_outlives_its_model(engine):
    do(engine, create(), SnapshotSampler(model_id="m", sampler_id="s"), DropModel(model_id="m"))

    assert len(logprobs(engine)) > 0


def test_sampler_and_trainer_agree_on_log_probabilities(engine):
    do(engine, create(), step(*DATA), optim(), SnapshotSampler(model_id="m", sampler_id="s"))
    command = Sample(sampler_id="s", tokens=DATA[1].tokens, max_tokens=1, prompt_logprobs=True)
    sampled = do(engine, command).prompt_logprobs[1:]

    text = DATA[1].tokens
    shifted = type(DATA[1])(tokens=text[:-1], inputs={"target_tokens": text[1:]})
    (trained,) = do(engine, step(shifted, backward=False)).outputs

    # Two float32 programs for the same formula.
    np.testing.assert_allclose(sampled, trained["logprobs"], atol=1e-5, rtol=0)


def test_saved_adapter_opens_as_a_sampler_equal_to_the_snapshot(engine, tmp_path):
    do(
        engine,
        create(),
        step(*DATA),
        optim(),
        SnapshotSampler(model_id="m", sampler_id="s"),
        SaveAdapter(model_id="m", directory=tmp_path / "c", with_optimizer=False),
    )

    do(engine, OpenSampler(sampler_id="opened", base_model="tiny", directory=tmp_path / "c"))

    assert np.array_equal(logprobs(engine, "opened"), logprobs(engine))


def test_bare_base_model_can_be_sampled(engine):
    do(engine, create(), OpenSampler(sampler_id="s", base_model="tiny"))
    before = logprobs(engine)

    do(engine, step(*DATA), optim())

    assert np.array_equal(logprobs(engine), before)


def test_state_survives_save_and_load_in_another_engine(engine, tiny_directory, tmp_path):
    save = SaveAdapter(model_id="m", directory=tmp_path / "c", with_optimizer=True)
    do(engine, create(), step(*DATA), optim(), save, step(*DATA), optim())
    expected = loss(engine)
    with running_engine(tiny_directory) as other:
        resume = LoadAdapter(model_id="m", directory=tmp_path / "c", with_optimizer=True)
        do(other, create(seed=7), resume, step(*DATA), optim())

        assert loss(other) == expected


@pytest.mark.parametrize(
    "command",
    [
        step(*DATA),
        optim(),
        SaveAdapter(model_id="m", directory=Path("never"), with_optimizer=False),
        LoadAdapter(model_id="m", directory=Path("never"), with_optimizer=False),
        SnapshotSampler(model_id="m", sampler_id="s"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_unknown_model_is_not_found(engine, command):
    with pytest.raises(NotFound, match="no model 'm'"):
        do(engine, command)


def test_unknown_sampler_is_not_found(engine):
    with pytest.raises(NotFound, match="no sampler 's'"):
        do(engine, greedy())


def test_dropped_things_are_gone_and_dropping_again_is_fine(engine):
    do(engine, create(), SnapshotSampler(model_id="m", sampler_id="s"))
    drops = (DropModel(model_id="m"), DropSampler(sampler_id="s"))

    assert do(engine, *drops, *drops) == Done()

    with pytest.raises(NotFound):
        do(engine, greedy())
    with pytest.raises(NotFound):
        do(engine, step(*DATA))


def test_taken_sampler_id_is_refused(engine):
    open_sampler = OpenSampler(sampler_id="s", base_model="tiny")
    do(engine, open_sampler)

    with pytest.raises(UserError, match="already a sampler 's'"):
        do(engine, open_sampler)


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

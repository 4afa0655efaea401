"""Every command through the front door."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from mint_runtime.engine.commands import (
    Done,
    DropModel,
    DropSampler,
    LoadAdapter,
    OpenSampler,
    Sample,
    SaveAdapter,
    SnapshotSampler,
    TrainStep,
)
from mint_runtime.engine.protocol import Engine
from mint_runtime.errors import NotFound, UserError
from support.engine_calls import DATA, create, do, greedy, logprobs, loss
from support.tiny import VOCAB_SIZE, build_small, datum, optim, running_engine, step
from transformers import AutoTokenizer


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

"""Saving and loading: whole or not at all, and exact."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from mint_runtime.engine.checkpoints import read_model, save_model
from mint_runtime.engine.training import optim_step
from mint_runtime.errors import ServerFault, UserError
from support.tiny import datum, gradient, load, optim, step, train_step, trained

DATA = tuple(datum(length, seed) for seed, length in enumerate((12, 30, 7)))


def run(model, num_steps=1):
    """Train and return the losses."""
    losses = []
    for _ in range(num_steps):
        losses.append(train_step(model, step(*DATA)).metrics["loss:sum"])
        optim_step(model, optim(weight_decay=0.01))
    return losses


def weights(model):
    return [tensor.detach().clone() for tensor in model.adapter.parameters()]


def saved(base, directory, with_optimizer=True, **changes):
    model = trained(base, **changes)
    run(model, 2)
    save_model(model, directory, with_optimizer=with_optimizer)
    return model


@contextmanager
def files_no_larger_than(num_bytes):
    """Make every longer write fail with an OSError, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_training_continues_exactly_after_loading_with_the_optimizer(base, tmp_path):
    original = saved(base, tmp_path / "c")
    expected = run(original, 3)
    resumed = trained(base, seed=99)

    resumed.replace(*read_model(resumed, tmp_path / "c", with_optimizer=True))

    assert resumed.optimizer.num_steps == 2
    assert run(resumed, 3) == expected
    assert all(map(torch.equal, weights(resumed), weights(original)))


def test_loading_without_the_optimizer_starts_a_fresh_one(base, tmp_path):
    original = saved(base, tmp_path / "c")
    resumed = trained(base, seed=99)
    run(resumed)

    resumed.replace(*read_model(resumed, tmp_path / "c", with_optimizer=False))

    assert resumed.optimizer.num_steps == 0
    assert resumed.optimizer.moments() == {}
    assert all(map(torch.equal, weights(resumed), weights(original)))
    # Without its moments the optimizer takes another second step.
    assert run(resumed, 2)[0] == run(original, 2)[0]
    assert not all(map(torch.equal, weights(resumed), weights(original)))


def test_loading_forgets_the_accumulated_gradient(base, tmp_path):
    model = saved(base, tmp_path / "c")
    train_step(model, step(*DATA))

    model.replace(*read_model(model, tmp_path / "c", with_optimizer=True))

    assert model.gradient is None


def test_saving_keeps_the_accumulated_gradient(base, tmp_path):
    model = trained(base)
    train_step(model, step(*DATA))
    before = gradient(model)

    save_model(model, tmp_path / "c", with_optimizer=True)

    after = gradient(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_model_saved_before_its_first_step_can_be_resumed(base, tmp_path):
    save_model(trained(base), tmp_path / "c", with_optimizer=True)
    model = trained(base, seed=5)

    model.replace(*read_model(model, tmp_path / "c", with_optimizer=True))

    assert run(model, 2) == run(trained(base), 2)


def test_folder_is_readable_by_others_and_has_the_documented_files(base, tmp_path):
    saved(base, tmp_path / "deep" / "c")

    files = {path.name: path.stat().st_mode & 0o444 for path in (tmp_path / "deep/c").iterdir()}
    assert files == dict.fromkeys(
        (
            "adapter_config.json",
            "adapter_model.safetensors",
            "checkpoint.json",
            "optimizer.json",
            "optimizer.safetensors",
        ),
        0o444,
    )
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c"]


def test_existing_folder_is_not_touched(base, tmp_path):
    saved(base, tmp_path / "c")
    before = (tmp_path / "c" / "adapter_model.safetensors").read_bytes()

    with pytest.raises(UserError, match="'c' exists already"):
        saved(base, tmp_path / "c", seed=3)

    assert (tmp_path / "c" / "adapter_model.safetensors").read_bytes() == before


@pytest.mark.parametrize("fits", ["nothing", "the adapter"])
def test_full_disk_is_our_fault_and_leaves_nothing(base, tmp_path, fits):
    model = trained(base)
    run(model)
    num_matrix_bytes = sum(4 * tensor.numel() for tensor in weights(model))

    with (
        # The optimizer's file is twice as large as the adapter's.
        files_no_larger_than(100 if fits == "nothing" else int(1.5 * num_matrix_bytes)),
        pytest.raises(ServerFault, match="checkpoint 'c' could not be written"),
    ):
        save_model(model, tmp_path / "c", with_optimizer=True)

    assert list(tmp_path.iterdir()) == []
    save_model(model, tmp_path / "c", with_optimizer=True)


KILLED_WHILE_SAVING = """
    import os, signal, sys
    from pathlib import Path
    from mint_runtime.engine import checkpoints
    from support.tiny import load, trained

    model, directory = trained(load(Path(sys.argv[1]))), Path(sys.argv[2])
    checkpoints._write_optimizer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    checkpoints.save_model(model, directory, with_optimizer=True)
"""


def test_process_killed_while_saving_leaves_no_checkpoint_and_the_next_save_cleans_up(
    base, tmp_path
):
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_WHILE_SAVING), base.source, tmp_path / "c"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )

    assert child.returncode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(".c.")
    assert leftover.name.endswith(".partial")

    save_model(trained(base), tmp_path / "c", with_optimizer=False)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def assert_refused(model, directory, sentence, with_optimizer=False):
    """Loading fails with this sentence and changes neither weights nor optimizer."""
    run(model)
    before, optimizer = weights(model), model.optimizer
    with pytest.raises(UserError, match=sentence):
        model.replace(*read_model(model, directory, with_optimizer=with_optimizer))
    assert all(map(torch.equal, before, weights(model)))
    assert model.optimizer is optimizer


def test_missing_optimizer_is_refused(base, tmp_path):
    saved(base, tmp_path / "c", with_optimizer=False)

    assert_refused(trained(base), tmp_path / "c", "'c' was saved without its optimizer", True)


def test_other_base_model_is_refused(base, tmp_path, tiny_directory):
    saved(load(tiny_directory, "another"), tmp_path / "c")

    assert_refused(trained(base), tmp_path / "c", "model 'another', but this model's is 'tiny'")


def test_other_rank_is_refused(base, tmp_path):
    saved(base, tmp_path / "c", rank=8)

    assert_refused(trained(base), tmp_path / "c", "rank 8, but the model was created with rank 4")


def test_other_layers_are_refused(base, tmp_path):
    saved(base, tmp_path / "c", train_mlp=False)

    assert_refused(trained(base), tmp_path / "c", "trains other layers")


def test_missing_folder_is_refused(base, tmp_path):
    assert_refused(trained(base), tmp_path / "nowhere", "holds no adapter")


def test_damaged_optimizer_is_refused(base, tmp_path):
    saved(base, tmp_path / "c")
    path = tmp_path / "c" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:100])

    assert_refused(trained(base), tmp_path / "c", "optimizer.safetensors is damaged", True)


def test_alpha_comes_from_the_folder(base, tmp_path):
    saved(base, tmp_path / "c")
    path = tmp_path / "c" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 7}))
    model = trained(base)

    model.replace(*read_model(model, tmp_path / "c", with_optimizer=False))

    assert model.adapter.alpha == 7.0


def test_loaded_adapter_gives_the_saved_log_probabilities(base, tmp_path):
    original = saved(base, tmp_path / "c")
    model = trained(base, seed=42)

    model.replace(*read_model(model, Path(tmp_path / "c"), with_optimizer=False))

    expected = train_step(original, step(*DATA, backward=False)).outputs
    found = train_step(model, step(*DATA, backward=False)).outputs
    assert all(
        np.array_equal(one["logprobs"], two["logprobs"])
        for one, two in zip(found, expected, strict=True)
    )

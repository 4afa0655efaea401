"""Converted supervised launchers of verl do what verl 0.9.1 does in each optimizer step.

verl's own trainer runs on small data, with its data sets, samplers, loop, loss and schedule; so
does the conversion of its launcher. The model of both is a table whose gradient says of each pair
of neighboring tokens what it counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openrlhf_rows import Training, ours
from support.verl_sft import BATCH, converted, theirs, write_data, write_model

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""
DATA = "{data}"
"""Stands for the folder of the data."""
PLAIN: dict[str, object] = {
    "data.train_files": f"{DATA}/train.parquet",
    "data.train_batch_size": BATCH,
    "data.max_length": 200,
    "data.ignore_input_ids_mismatch": True,
    "trainer.total_epochs": 3,
    "optim.lr": 0.0001,
    "trainer.logger": "console",
}
HELD = {"data.val_files": f"{DATA}/val.parquet"}
CASES: dict[str, dict[str, object]] = {
    "plain": PLAIN,
    "cosine": {
        **PLAIN,
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps_ratio": 0.4,
        "optim.min_lr_ratio": 0.1,
        "optim.betas": "[0.8,0.9]",
        "optim.weight_decay": 0.1,
    },
    "waves": {
        **PLAIN,
        "optim.lr_scheduler_type": "cosine",
        "optim.lr_warmup_steps": 2,
        "optim.num_cycles": 1.5,
    },
    "cut-at-the-end": {**PLAIN, "data.max_length": 60, "data.truncation": "right"},
    "cut-at-the-start": {**PLAIN, "data.max_length": 60, "data.truncation": "left"},
    "each-epoch": {**PLAIN, **HELD, "trainer.test_freq": "after_each_epoch"},
    "each-step": {**PLAIN, **HELD, "trainer.test_freq": 2},
    "at-the-end": {**PLAIN, **HELD},
    "fewer-steps": {**PLAIN, **HELD, "trainer.total_training_steps": 4},
    "more-steps": {**PLAIN, "trainer.total_training_steps": 9},
    "switched": {**PLAIN, "data.train_files": f"{DATA}/train_switched.parquet"},
    "tools": {**PLAIN, "data.train_files": f"{DATA}/train_tools.parquet"},
}


def placed(name: str, folder: Path, model: Path) -> dict[str, object]:
    """Return a case with the folder of the data in its options, and a model."""
    options = {
        key: value.replace(DATA, str(folder)) if isinstance(value, str) else value
        for key, value in CASES[name].items()
    }
    return {**options, "model.path": model}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the data."""
    folder = tmp_path_factory.mktemp("rows")
    write_data(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the tokenizer."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def originals(
    tmp_path_factory: pytest.TempPathFactory, data: Path, model: Path
) -> dict[str, Training]:
    """Return verl's training of each case, from one process."""
    runs = theirs(tmp_path_factory.mktemp("verl"), model, [placed(n, data, model) for n in CASES])
    return dict(zip(CASES, runs, strict=True))


def differs(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Say whether two arrays differ by more than rounding."""
    return not bool((np.abs(ours - theirs) <= TOLERANCE * np.abs(theirs).max()).all())


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_verls(
    originals: dict[str, Training], data: Path, model: Path, tmp_path: Path, name: str
) -> None:
    expected = originals[name]

    found = ours(converted(placed(name, data, model)), tmp_path, model)

    assert len(expected.losses) > 1
    assert found.gradients.shape == expected.gradients.shape
    for step, (mine, its) in enumerate(zip(found.gradients, expected.gradients, strict=True)):
        assert not differs(mine, its), f"step {step}"
    assert found.losses == pytest.approx(expected.losses, rel=TOLERANCE)
    assert found.rates == pytest.approx(expected.rates, rel=TOLERANCE, abs=1e-15)
    assert found.adam == pytest.approx(expected.adam, rel=TOLERANCE)
    assert [step for step, _ in found.evaluations] == [step for step, _ in expected.evaluations]
    losses: list[Any] = [loss for _, loss in expected.evaluations]
    assert [loss for _, loss in found.evaluations] == pytest.approx(losses, rel=TOLERANCE)

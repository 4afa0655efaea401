"""The policy losses equal verl's: `ppo` is its "vanilla" without dual clip, the others have their
names.

verl runs in an environment of its own, on the same random ragged batch, padded there and packed
here. Its aggregations are folded into `weights`, one number per sequence, because the API sums.
"""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from mint_runtime.losses import LOSSES, LossInputs, resolve_config
from support.environments import REQUIREMENTS, environment

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

VERL_NAMES = {"ppo": "vanilla", "cispo": "cispo", "gspo": "gspo", "dro": "dro"}
AGGREGATIONS = ("token-sum", "token-mean", "seq-mean-token-sum", "seq-mean-token-mean")
BETA = 0.07
BOUNDS = ((0.8, 1.2), (0.9, 1.3))
"""Thresholds on the ratio."""
CASES = list(product(VERL_NAMES, AGGREGATIONS, BOUNDS))
NO_DUAL_CLIP = 1e9
LENGTHS = (1, 17, 40, 5, 33, 8)
PROMPTS = (3, 1, 9, 4, 1, 6)
TOLERANCE = 1e-5
"""Relative, of float32; the loss is compared with the size of its terms, which cancel."""


def ragged(*, seed: int = 3) -> dict[str, np.ndarray]:
    """Return a padded batch whose padding holds numbers that would show."""
    rng = np.random.default_rng(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    old = -3 * rng.random(shape)
    # Every fifth ratio is far from 1, so that both thresholds are passed in both directions.
    spread = np.where(rng.random(shape) < 0.2, 1.5, 0.15)
    mask = np.arange(shape[1]) < np.array(LENGTHS)[:, None]
    batch = {
        "old": old,
        "logp": old + spread * rng.standard_normal(shape),
        "advantages": rng.standard_normal(shape),
        "mask": mask,
    }
    return {key: value.astype(np.float32) for key, value in batch.items()}


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    """Return the batch that both sides compute on."""
    return ragged()


@pytest.fixture(scope="module")
def theirs(
    batch: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[object, ...], tuple[float, np.ndarray]]:
    """Return loss and gradient of each case from one process of verl."""
    folder = tmp_path_factory.mktemp("verl")
    np.savez(folder / "batch.npz", **batch)
    cases = [
        {
            "loss": VERL_NAMES[name],
            "aggregation": aggregation,
            "clip_ratio_low": 1 - low,
            "clip_ratio_high": high - 1,
            "clip_ratio_c": NO_DUAL_CLIP,
            "dro_beta": BETA,
        }
        for name, aggregation, (low, high) in CASES
    ]
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    run_verl(folder)
    with np.load(folder / "result.npz") as result:
        return {
            case: (float(result[f"{index}.loss"]), result[f"{index}.gradient"])
            for index, case in enumerate(CASES)
        }


def run_verl(folder: Path) -> None:
    """Run the script of the environment on the files in `folder`."""
    script = REQUIREMENTS / "verl_losses.py"
    files = [str(folder / name) for name in ("batch.npz", "cases.json", "result.npz")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment("verl")), str(script), *files],
        env={**variables, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def share(aggregation: str) -> np.ndarray:
    """Return the weight that each token of a sequence has in an aggregation, `[B, 1]`."""
    lengths = np.array(LENGTHS, dtype=np.float64)
    weights = {
        "token-sum": np.ones_like(lengths),
        "token-mean": np.full_like(lengths, 1 / lengths.sum()),
        "seq-mean-token-sum": np.full_like(lengths, 1 / len(lengths)),
        "seq-mean-token-mean": 1 / (lengths * len(lengths)),
    }
    return weights[aggregation][:, None]


def packed(batch: dict[str, np.ndarray], weight_B1: np.ndarray) -> tuple[LossInputs, np.ndarray]:
    """Return our inputs, prompts in front of the responses, and which positions are responses."""
    rng = np.random.default_rng(1)
    columns: dict[str, list[np.ndarray]] = {
        key: [] for key in ("logp", "logprobs", "advantages", "weights", "response")
    }
    for row, (length, prompt) in enumerate(zip(LENGTHS, PROMPTS, strict=True)):
        parts = {
            "logp": (-30 * rng.random(prompt), batch["logp"][row, :length]),
            "logprobs": (np.zeros(prompt), batch["old"][row, :length]),
            "advantages": (np.zeros(prompt), batch["advantages"][row, :length]),
            "weights": (np.zeros(prompt), np.repeat(weight_B1[row], length)),
            "response": (np.zeros(prompt), np.ones(length)),
        }
        for key, values in parts.items():
            columns[key].extend(values)
    tensors = {
        key: torch.tensor(np.concatenate(values), dtype=torch.float32)[:, None]
        for key, values in columns.items()
    }
    totals = torch.tensor(LENGTHS) + torch.tensor(PROMPTS)
    response = tensors.pop("response")
    inputs = LossInputs(
        logp_NK=tensors.pop("logp").requires_grad_(),
        values={**tensors, "sequence_ratio_mask": response},
        datum_N=torch.repeat_interleave(torch.arange(len(LENGTHS)), totals),
        num_datums=len(LENGTHS),
    )
    return inputs, response[:, 0].numpy().astype(bool)


@pytest.mark.parametrize(
    ("name", "aggregation", "bounds"), CASES, ids=["-".join(map(str, case)) for case in CASES]
)
def test_loss_and_gradient_equal_verls(theirs, batch, name, aggregation, bounds):
    expected, gradient_BT = theirs[name, aggregation, bounds]
    inputs, is_response = packed(batch, share(aggregation))
    sent = {"clip_low_threshold": bounds[0], "clip_high_threshold": bounds[1], "beta": BETA}
    loss = LOSSES[name]
    config = resolve_config(loss, {key: sent[key] for key in loss.config})

    loss_NK = loss.function(inputs, config).loss_NK

    terms = loss_NK.detach().abs().sum().item()
    assert loss_NK.sum().item() == pytest.approx(expected, abs=TOLERANCE * terms)
    (gradient,) = torch.autograd.grad(loss_NK.sum(), inputs.logp_NK)
    ours = gradient[:, 0].numpy()
    assert not ours[~is_response].any()
    assert ours[is_response] == pytest.approx(
        gradient_BT[batch["mask"] != 0],
        rel=TOLERANCE,
        abs=TOLERANCE * float(np.abs(ours).max()) / 10,
    )


def test_the_batch_passes_both_thresholds_with_both_signs(batch):
    inside = batch["mask"] != 0
    ratio = np.exp(batch["logp"] - batch["old"])[inside]
    positive = batch["advantages"][inside] > 0

    assert {(bool(sign), bool(high)) for sign, high in zip(positive, ratio > 1.3, strict=True)} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }
    assert (ratio < 0.8).sum() > 5

"""Random ragged batches for the mathematics of verl scripts, and what is computed of them.

The numbers are the same on both sides: padded in verl's environment, lists in a converted script.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mint import types
from mint_runtime.losses import LOSSES, LossInputs, resolve_config

from support.environments import REQUIREMENTS, environment

Arrays = dict[str, np.ndarray]
PROMPTS = (3, 1, 9, 4, 2)
"""Lengths of the prompts that stand before the responses, in turn."""
COMPONENTS = ("accuracy", "format")
LONGEST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a batch is like."""

    groups: tuple[int, ...]
    """Responses to each prompt."""
    lengths: str = "random"
    """random | one (every response is one token)"""
    scores: str = "random"
    """random | equal | binary"""
    seed: int = 0


SHAPES = {
    "ragged": Shape(groups=(1, 4, 2, 5, 3, 1), seed=1),
    "even": Shape(groups=(4, 4, 4, 4), scores="binary", seed=2),
    "pairs": Shape(groups=(2, 2, 2), seed=3),
    "tokens": Shape(groups=(3, 3, 2), lengths="one", seed=4),
    "equal": Shape(groups=(3, 2, 4), scores="equal", seed=5),
    "large": Shape(groups=(8, 2, 7, 8, 3, 6), seed=6),
}
"""Batches by name. `pairs` and the like have no response that stands alone."""


@functools.cache
def loaded(text: str) -> dict[str, Any]:
    """Return what a converted script defines, and its configuration as `config`."""
    module = ModuleType("converted")
    exec(compile(text, "<converted>", "exec", dont_inherit=True), module.__dict__)
    return {**module.__dict__, "config": module.__dict__["Config"]()}


def builtin_of(text: str, config: Any) -> tuple[str, dict[str, float]]:
    """Return the loss of the server that a script asks for, with its options; "" for its own."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".forward_backward"):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            options = eval(given.get("loss_fn_config", "{}"), {"config": config})
            return str(ast.literal_eval(given["loss_fn"])), options
    return "", {}


def our_loss(text: str, batch: Arrays, *, seed: int = 0) -> tuple[float, np.ndarray]:
    """Return loss and gradient of a converted script, by its own functions."""
    space = loaded(text)
    samples, leaves = samples_of(space, batch), leaves_of(batch)
    name, options = builtin_of(text, space["config"])
    data = space["build_batch"](samples, space["config"])
    torch.manual_seed(seed)
    if name:
        loss = builtin_loss(name, data, leaves, options)
    else:
        loss, _ = space["policy_loss"](samples, space["config"])(data, leaves)
    loss.backward()
    return loss.item(), gradient_of(leaves, batch)


def padded(lists: list[list[float]], batch: Arrays) -> np.ndarray:
    """Return one list of numbers for each response as `[B, T]`, zero in the padding."""
    table = np.zeros_like(batch["new"])
    for row, values in enumerate(lists):
        table[row, : len(values)] = values
    return table


def draw(shape: Shape) -> Arrays:
    """Return a padded batch whose padding holds numbers that would show, where verl has a mask."""
    rng = np.random.default_rng(shape.seed)
    size = sum(shape.groups)
    lengths = rng.integers(1, LONGEST + 1, size) if shape.lengths == "random" else np.ones(size)
    lengths[0] = 1
    mask = np.arange(LONGEST) < lengths.astype(int)[:, None]
    scores = {
        "random": rng.standard_normal(size),
        "equal": np.full(size, 0.5),
        "binary": rng.integers(0, 2, size).astype(float),
    }[shape.scores]
    rewards = np.zeros((size, LONGEST))
    rewards[np.arange(size), lengths.astype(int) - 1] = scores
    old = -3 * rng.random((size, LONGEST)) - 0.01
    # Every fifth ratio is far from 1, so that all bounds are passed in both directions.
    spread = np.where(rng.random(old.shape) < 0.2, 2.0, 0.15)
    new = np.minimum(old + spread * rng.standard_normal(old.shape), -0.001)
    batch = {
        "mask": mask,
        "rewards": rewards,
        "old": old,
        "new": new,
        "reference": old + spread[::-1] * 1.5 * rng.standard_normal(old.shape),
        "advantages": rng.standard_normal(old.shape),
        "baselines": rng.standard_normal(size),
        **{name: rng.integers(0, 3, size) for name in COMPONENTS},
    }
    numbers = {key: value.astype(np.float32) for key, value in batch.items()}
    return {"index": np.repeat(np.arange(len(shape.groups)), shape.groups), **numbers}


def run_verl(
    folder: Path, batches: dict[str, Arrays], cases: list[dict[str, Any]]
) -> tuple[list[Arrays], Arrays]:
    """Return what verl computes of each case, all in one process, and the names that it knows."""
    named = {f"{name}.{key}": value for name, one in batches.items() for key, value in one.items()}
    np.savez(folder / "batches.npz", **named)
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    files = [str(folder / name) for name in ("batches.npz", "cases.json", "result.npz")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment("verl")), str(REQUIREMENTS / "verl_math.py"), *files],
        env={**variables, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results: list[Arrays] = [{} for _ in cases]
    names: Arrays = {}
    with np.load(folder / "result.npz") as arrays:
        for name in arrays.files:
            number, _, key = name.partition(".")
            (names if number == "names" else results[int(number)])[key] = arrays[name]
    return results, names


def samples_of(space: dict[str, Any], batch: Arrays) -> list[Any]:
    """Return the responses of a batch as the `Sample` of a converted script."""
    samples = []
    for row, length in enumerate(batch["mask"].sum(1).astype(int)):
        columns = {
            name: batch[key][row, :length].tolist()
            for name, key in (
                ("logprobs", "old"),
                ("reference", "reference"),
                ("rewards", "rewards"),
                ("advantages", "advantages"),
            )
        }
        sample = space["Sample"](
            row={},
            group=int(batch["index"][row]),
            prompt=[11] * PROMPTS[row % len(PROMPTS)],
            tokens=[20] * int(length),
            logprobs=columns.pop("logprobs"),
            text="",
            truncated=False,
        )
        for name, values in columns.items():
            setattr(sample, name, values)
        sample.score = float(batch["rewards"][row].sum())
        sample.baseline = float(batch["baselines"][row])
        sample.extra = {name: float(batch[name][row]) for name in COMPONENTS}
        samples.append(sample)
    return samples


def leaves_of(batch: Arrays) -> list[torch.Tensor]:
    """Return log-probabilities as a loss gets them: of each datum, at all target positions."""
    rng = np.random.default_rng(9)
    leaves = []
    for row, length in enumerate(batch["mask"].sum(1).astype(int)):
        prompt = torch.tensor(-30 * rng.random(PROMPTS[row % len(PROMPTS)] - 1))
        response = torch.tensor(batch["new"][row, :length])
        leaves.append(torch.cat([prompt.float(), response]).requires_grad_())
    return leaves


def gradient_of(leaves: list[torch.Tensor], batch: Arrays) -> np.ndarray:
    """Return the gradients of a loss, `[B, T]`, zero in the padding.

    Raises:
        AssertionError: the loss depends on the prompt.
    """
    gradient = np.zeros_like(batch["new"])
    for row, leaf in enumerate(leaves):
        assert leaf.grad is not None
        rest = PROMPTS[row % len(PROMPTS)] - 1
        assert not leaf.grad[:rest].any()
        gradient[row, : len(leaf) - rest] = leaf.grad[rest:].numpy()
    return gradient


def builtin_loss(
    name: str, data: list[types.Datum], leaves: list[torch.Tensor], config: dict[str, float]
) -> torch.Tensor:
    """Return the sum of a loss of the server over *data*, whose log-probabilities are given."""
    values = {
        key: torch.cat([torch.tensor(datum.loss_fn_inputs[key].tolist()) for datum in data])
        for key in data[0].loss_fn_inputs
        if key != "target_tokens"
    }
    numbers = [torch.full((len(one),), i) for i, one in enumerate(leaves)]
    inputs = LossInputs(
        logp_NK=torch.cat(leaves)[:, None],
        values={key: value.float()[:, None] for key, value in values.items()},
        datum_N=torch.cat(numbers),
        num_datums=len(data),
    )
    loss = LOSSES[name]
    return loss.function(inputs, resolve_config(loss, config)).loss_NK.sum()

"""RLOO with a reward model and PPO without its critic compute what TRL 0.13 and 0.18 did.

`fixtures/losses/trl-*-rloo.json` and `-values.json` hold drawn scores and log-probabilities, and
the advantages, losses and gradients that the statements of those releases make of them
(`record_old_episodes.py`); PPO's critic answers 0 there. Here functions of converted scripts get
the same numbers.
"""

from __future__ import annotations

import ast
import json
from typing import Any

import numpy as np
import pytest
import torch
from support.cases import FIXTURES
from support.grpo_pieces import builtin_loss, functions
from support.scripts import converted, migrated

pytestmark = [pytest.mark.parity, pytest.mark.timeout(600)]

TOLERANCE = 1e-5
"""Relative to the largest number: float32 sums in another order."""
SCRIPT = """
from datasets import load_from_disk
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import {name}Config, {name}Trainer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
dataset = load_from_disk("prompts")
scorer = AutoModelForSequenceClassification.from_pretrained("acme/reward", num_labels=1)
critic = AutoModelForSequenceClassification.from_pretrained("acme/reward", num_labels=1)
config = {name}Config(output_dir="out", response_length=9, per_device_train_batch_size=12, {config})
trainer = {name}Trainer(
    {argument}=config,
    processing_class=tokenizer,
    {models},
    reward_model=scorer,
    train_dataset=dataset,
)
trainer.train()
"""
MODEL = 'AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")'
MODELS = {
    "rloo": f"policy={MODEL}, ref_policy={MODEL}",
    "values": f"{{model}}={MODEL}, {{ref}}={MODEL}, value_model=critic",
}
READ = {
    "rloo": (
        *("rloo_k", "kl_coef", "cliprange", "normalize_reward", "reward_clip_range"),
        *("normalize_advantage", "token_level_kl"),
    ),
    "values": ("kl_coef", "cliprange", "whiten_rewards", "kl_estimator", "gamma", "lam"),
}
LATER = {"normalize_reward", "reward_clip_range", "normalize_advantage", "token_level_kl"} | {
    "kl_estimator"
}
"""Options that 0.13 lacks."""


def recorded(release: str, kind: str) -> dict[str, Any]:
    path = FIXTURES / "losses" / f"trl-{release}-{kind}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


CASES = [
    (release, kind, number)
    for release in ("0.13.0", "0.18.2")
    for kind in ("rloo", "values")
    for number in range(len(recorded(release, kind)["cases"]))
]


def script(release: str, kind: str, options: dict[str, Any]) -> str:
    """Return the conversion of a small script with the options of a case."""
    names = [n for n in READ[kind] if release != "0.13.0" or n not in LATER]
    config = ", ".join(f"{name}={options[name]!r}" for name in names)
    is_first = release == "0.13.0"
    models = MODELS[kind].format(
        model="policy" if is_first else "model", ref="ref_policy" if is_first else "ref_model"
    )
    text = SCRIPT.format(
        name="RLOO" if kind == "rloo" else "PPO",
        config=config,
        argument="config" if kind == "rloo" or is_first else "args",
        models=models,
    )
    return converted(migrated(text, source_version=release, ppo="critic-free"))


def divergences(text: str, rows: dict[str, list[torch.Tensor]]) -> list[torch.Tensor]:
    """Return the divergence of each response as the training loop of a script computes it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "kls":
            found: list[torch.Tensor] = eval(ast.unparse(node.value), {**rows, "torch": torch})
            return found
    raise AssertionError("the script computes no divergence")


def padded(rows: list[torch.Tensor], length: int) -> np.ndarray:
    """Return rows as one table, zero in the padding."""
    table = np.zeros((len(rows), length))
    for index, row in enumerate(rows):
        table[index, : len(row)] = row.detach().numpy()
    return table


def differs(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Say whether two arrays differ by more than rounding."""
    return not bool((np.abs(ours - theirs) <= TOLERANCE * np.abs(theirs).max()).all())


@pytest.mark.parametrize(
    ("release", "kind", "number"), CASES, ids=[f"{a}-{b}-{c}" for a, b, c in CASES]
)
def test_functions_compute_what_the_release_computed(release: str, kind: str, number: int) -> None:
    record = recorded(release, kind)
    case, lengths = record["cases"][number], record["lengths"]
    text = script(release, kind, case["options"])
    space = functions(text)
    config = space["config"]
    rows = {
        key: [torch.tensor(row[:length]) for row, length in zip(record[key], lengths, strict=True)]
        for key in ("old", "reference", "new")
    }
    leaves = [row.clone().requires_grad_() for row in rows["new"]]
    scores = torch.tensor(record["scores"])
    kls = divergences(text, {"old": rows["old"], "reference": rows["reference"]})

    if kind == "rloo":
        advantages = space["leave_one_out"](kls, scores, config)
        found = advantages.numpy()
        loss, _ = space["ratio_loss"](rows["old"], advantages, config)([], leaves)
    else:
        several = space["compute_advantages"](kls, scores, config)
        found = padded(several, len(record["old"][0]))
        responses = [[5] * length for length in lengths]
        prompts = [[7]] * len(lengths)
        data = space["build_batch"](prompts, responses, rows["old"], several)
        bounds = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
        loss = builtin_loss("ppo", data, leaves, bounds)
    loss.backward()

    assert not differs(found, np.array(case["advantages"]))
    assert loss.item() == pytest.approx(case["loss"], rel=TOLERANCE, abs=TOLERANCE)
    gradient = padded([leaf.grad for leaf in leaves if leaf.grad is not None], 9)
    assert not differs(gradient, np.array(case["gradient"]))

"""Random ragged batches for the mathematics of OpenRLHF scripts, and what is computed of them.

The numbers are the same on both sides: padded in OpenRLHF's environment, lists in a converted
script.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options, Source

from support.environments import REQUIREMENTS, environment
from support.scripts import tables
from support.verl_launch import script_of
from support.verl_math import (
    PROMPTS,
    Arrays,
    builtin_loss,
    builtin_of,
    gradient_of,
    leaves_of,
    loaded,
    padded,
)

NEWEST, MIDDLE, OLDEST = "0.11.2", "0.9.1", "0.6.4"
ENVIRONMENTS = {NEWEST: "openrlhf", MIDDLE: "openrlhf_0_9", OLDEST: "openrlhf_0_6"}
GROUP, LONGEST = 4, 24
LAUNCH = {
    "pretrain": "Qwen/Qwen3-0.6B",
    "prompt_data": "prompts.jsonl",
    "remote_rm_url": "reward.py",
    "rollout_batch_size": 8,
    "train_batch_size": 16,
    "n_samples_per_prompt": GROUP,
    "generate_max_len": LONGEST,
    "advantage_estimator": "group_norm",
    "init_kl_coef": 0,
}
"""A small launch, two optimizer steps for each rollout."""
DOTTED = {
    "pretrain": "actor.model_name_or_path",
    "prompt_data": "data.prompt_dataset",
    "remote_rm_url": "reward.remote_url",
    "agent_func_path": "train.agent_func_path",
    "rollout_batch_size": "rollout.batch_size",
    "train_batch_size": "train.batch_size",
    "n_samples_per_prompt": "rollout.n_samples_per_prompt",
    "generate_max_len": "rollout.max_new_tokens",
    "advantage_estimator": "algo.advantage.estimator",
    "init_kl_coef": "algo.kl.init_coef",
    "kl_estimator": "algo.kl.estimator",
    "use_kl_loss": "algo.kl.use_loss",
    "gamma": "algo.advantage.gamma",
    "no_advantage_std_norm": "algo.advantage.no_std_norm",
    "reward_clip_range": "reward.clip_range",
    "overlong_buffer_len": "reward.overlong_buffer_len",
    "overlong_penalty_factor": "reward.overlong_penalty_factor",
    "eps_clip": "actor.eps_clip",
    "eps_clip_low_high": "actor.eps_clip_low_high",
    "dual_clip": "actor.dual_clip",
    "policy_loss_type": "actor.policy_loss_type",
    "micro_train_batch_size": "train.micro_batch_size",
    "packing_samples": "ds.packing_samples",
}
"""Names that the newest release has for options of the earlier ones."""


@functools.cache
def _launched(command: str, release: str) -> Migrated:
    source = Source(path="run.sh", content=command.encode(), text=command, newline="\n")
    options = Options(launched_version=("openrlhf", release, "said by the test"))
    result = migrate_launcher(source, options, tables(), lambda path: None)
    assert isinstance(result, Migrated), result
    return result


def launched(flags: Mapping[str, object], release: str) -> Migrated:
    """Convert a small launch of OpenRLHF with some flags more or others.

    True is a flag without a value, a sequence one with several, None leaves one out.
    """
    words = []
    for name, value in {**LAUNCH, **flags}.items():
        if value is None or value is False:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        shown = DOTTED.get(name, name) if release == NEWEST else name
        words += [f"--{shown}", *(str(item) for item in values if item is not True)]
    return _launched(f"python3 -m openrlhf.cli.train_ppo_ray {' '.join(words)}\n", release)


def draw(*, groups: int, seed: int, turns: bool = False, scores: str = "random") -> Arrays:
    """Return a padded batch whose padding holds numbers that would show.

    Args:
        groups: prompts, with `GROUP` responses each.
        seed: of the numbers.
        turns: responses hold tokens of an environment, too; `present` marks both.
        scores: random | binary | equal
    """
    rng = np.random.default_rng(seed)
    size = groups * GROUP
    lengths = rng.integers(2, LONGEST + 1, size)
    lengths[:2] = 2, LONGEST
    present = np.arange(LONGEST) < lengths[:, None]
    mask = present & (rng.random(present.shape) < 0.6) if turns else present
    mask[:, 0] = True
    old = -3 * rng.random(present.shape) - 0.01
    # Every fifth ratio is far from 1, so that all bounds are passed in both directions.
    spread = np.where(rng.random(old.shape) < 0.2, 2.0, 0.15)
    batch = {
        "mask": mask,
        "present": present,
        "scores": {
            "random": 3 * rng.standard_normal(size),
            "binary": rng.integers(0, 2, size),
            "equal": np.full(size, 0.5),
        }[scores],
        "old": old,
        "new": np.minimum(old + spread * rng.standard_normal(old.shape), -0.001),
        "reference": old + spread[::-1] * 1.5 * rng.standard_normal(old.shape),
        "advantages": rng.standard_normal(old.shape),
    }
    return {key: np.asarray(value, dtype=np.float32) for key, value in batch.items()}


def run_openrlhf(
    folder: Path, release: str, batches: dict[str, Arrays], cases: list[dict[str, Any]]
) -> list[Arrays]:
    """Return what a release of OpenRLHF computes of each case, all in one process."""
    named = {f"{name}.{key}": value for name, one in batches.items() for key, value in one.items()}
    np.savez(folder / "batches.npz", **named)
    (folder / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    files = [str(folder / name) for name in ("batches.npz", "cases.json", "result.npz")]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(environment(ENVIRONMENTS[release])), str(REQUIREMENTS / "openrlhf_math.py"), *files],
        env={**variables, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results: list[Arrays] = [{} for _ in cases]
    with np.load(folder / "result.npz") as arrays:
        for name in arrays.files:
            number, _, key = name.partition(".")
            results[int(number)][key] = arrays[name]
    return results


def samples_of(space: dict[str, Any], batch: Arrays) -> list[Any]:
    """Return the responses of a batch as the `Sample` of a converted script."""
    samples = []
    for row, length in enumerate(batch["present"].sum(1).astype(int)):
        counts = batch["mask"][row, :length].astype(int).tolist()
        masked = {"mask": counts} if "mask" in space["Sample"].__dataclass_fields__ else {}
        sample = space["Sample"](
            row={},
            group=row // GROUP,
            prompt=[11] * PROMPTS[row % len(PROMPTS)],
            tokens=[20] * int(length),
            logprobs=batch["old"][row, :length].tolist(),
            text="",
            truncated=False,
            **masked,
        )
        sample.score = float(batch["scores"][row])
        sample.reference = batch["reference"][row, :length].tolist()
        sample.advantages = batch["advantages"][row, :length].tolist()
        samples.append(sample)
    return samples


def our_advantages(text: str, batch: Arrays) -> np.ndarray:
    """Return the advantages that a converted script computes, zero where nothing was sampled."""
    space = loaded(text)
    samples, config = samples_of(space, batch), space["config"]
    for name in ("penalize_length", "penalize_divergence", "compute_advantages"):
        if name in space:
            space[name](samples, config)
    return padded([sample.advantages for sample in samples], batch) * batch["mask"]


def our_loss(text: str, batch: Arrays) -> tuple[float, np.ndarray]:
    """Return loss and gradient of a converted script, by its own functions."""
    space = loaded(text)
    whole = {**batch, "mask": batch["present"]}
    samples, leaves = samples_of(space, batch), leaves_of(whole)
    name, options = builtin_of(text, space["config"])
    data = space["build_batch"](samples, space["config"])
    if name:
        loss = builtin_loss(name, data, leaves, options)
    else:
        loss, _ = space["policy_loss"](samples, space["config"])(data, leaves)
    loss.backward()
    return loss.item(), gradient_of(leaves, whole)


def script(flags: Mapping[str, object], release: str) -> str:
    """Return the script of a launch."""
    return script_of(launched(flags, release))

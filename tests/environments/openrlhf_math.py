"""Compute advantages and losses with OpenRLHF's own code; runs in `openrlhf`, `_0_9` and `_0_6`.

    python openrlhf_math.py BATCHES.npz CASES.json RESULT.npz

A batch is some arrays whose names begin with its own: `index` and `scores` `[B]`, `mask`, `old`,
`new`, `reference` and `advantages` `[B, T]`. A case names a batch and what to compute of it; the
result holds `<index>.<name>` for each array that a case gives.

What OpenRLHF imports for GPUs, Ray and the hub takes no part in this mathematics: modules without
content stand in for it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

Batch = dict[str, torch.Tensor]
ABSENT = frozenset(
    {
        *(
            "accelerate",
            "aiohttp",
            "bitsandbytes",
            "datasets",
            "deepspeed",
            "einops",
            "flash_attn",
            "optree",
            "packaging",
        ),
        *("peft", "pylatexenc", "ray", "requests", "ring_flash_attn", "safetensors", "sympy"),
        *("tensorboard", "torchdata", "torchmetrics", "transformers", "vllm", "wandb"),
    }
)
RELEASE = importlib.metadata.version("openrlhf")
NEWEST, MIDDLE, OLDEST = "0.11.2", "0.9.1", "0.6.4"


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules that are not installed here, and makes them out of nothing."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for a name below one of `ABSENT`."""
        if name.partition(".")[0] not in ABSENT:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return a module that has every attribute."""
        module = ModuleType(spec.name)
        module.__dict__["__getattr__"] = _attribute
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""


def _attribute(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    # Names of classes are inherited from and stand in annotations.
    return type(name, (), {}) if name[:1].isupper() else MagicMock(name=name)


def keep_on_cpu() -> None:
    """Make moves to a GPU, which 0.6.4 spells out, stay where they are."""
    plain = torch.Tensor.to

    def to(self: torch.Tensor, *where: Any, **more: Any) -> torch.Tensor:
        places = ["cpu" if place == "cuda" else place for place in where]
        if more.get("device") == "cuda":
            more["device"] = "cpu"
        return plain(self, *places, **more)

    torch.Tensor.to = to  # type: ignore[method-assign,assignment]


def settings(case: dict[str, Any]) -> SimpleNamespace:
    """Return the arguments of the launch as the release names them."""
    flat = {
        "advantage_estimator": case["estimator"],
        "n_samples_per_prompt": case["n"],
        "reward_clip_range": case["clip"],
        "gamma": case["gamma"],
        "lambd": 1.0,
        "no_advantage_std_norm": case["no_std"],
        "overlong_buffer_len": case["overlong"],
        "overlong_penalty_factor": 0.5,
        "generate_max_len": case["longest"],
    }
    if RELEASE != NEWEST:
        return SimpleNamespace(**flat)
    return SimpleNamespace(
        algo=SimpleNamespace(
            advantage=SimpleNamespace(
                estimator=case["estimator"],
                gamma=case["gamma"],
                lambd=1.0,
                no_std_norm=case["no_std"],
            )
        ),
        rollout=SimpleNamespace(n_samples_per_prompt=case["n"], max_new_tokens=case["longest"]),
        reward=SimpleNamespace(
            clip_range=case["clip"],
            overlong_buffer_len=case["overlong"],
            overlong_penalty_factor=0.5,
            stop_properly_penalty_coef=None,
        ),
        data=SimpleNamespace(max_len=case["longest"]),
    )


def advantages(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return the advantages of a rollout, in experiences of four responses each."""
    from openrlhf.models.utils import compute_approx_kl
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    maker = object.__new__(RemoteExperienceMaker)
    maker.strategy = SimpleNamespace(args=settings(case))
    maker.args = maker.strategy.args
    maker.advantage_estimator = case["estimator"]
    maker.kl_ctl = SimpleNamespace(value=case["weight"])
    kl = torch.zeros_like(batch["old"])
    if case["kl"]:
        kl = compute_approx_kl(batch["old"], batch["reference"], kl_estimator=case["kl"])
    experiences = [
        experience(batch, kl, list(range(first, first + case["n"])))
        for first in range(0, len(kl), case["n"])
    ]
    discounts = {"gamma": case["gamma"], "lambd": 1.0} if RELEASE == OLDEST else {}
    maker.compute_advantages_and_returns(experiences, **discounts)
    if RELEASE == OLDEST and case["estimator"] not in {"group_norm", "dr_grpo"}:
        normalize(experiences, divide=not case["no_std"])
    return {"advantages": torch.cat([item.advantages for item in experiences]).numpy()}


def experience(batch: Batch, kl: torch.Tensor, rows: list[int]) -> SimpleNamespace:
    """Return some responses as the trainer holds them."""
    mask, scores = batch["mask"][rows], batch["scores"][rows].clone()
    places = torch.arange(1, mask.shape[1] + 1)
    lengths = (mask * places).max(-1).values
    info = {"reward": scores, "num_actions": mask.shape[1], "response_length": lengths}
    made = SimpleNamespace(
        index=rows,
        rewards=scores,
        kl=kl[rows],
        action_mask=mask.long(),
        response_length=lengths,
        truncated=None,
        values=None,
        info=info,
    )
    made.to_device = lambda device: made
    return made


def normalize(experiences: list[SimpleNamespace], *, divide: bool) -> None:
    """Normalize the advantages as the replay buffer of 0.6.4 does."""
    from openrlhf.trainer.ppo_utils.replay_buffer import NaiveReplayBuffer

    buffer = object.__new__(NaiveReplayBuffer)
    buffer.items = [
        SimpleNamespace(advantages=row * mask, action_mask=mask)
        for item in experiences
        for row, mask in zip(item.advantages, item.action_mask, strict=True)
    ]
    alone = SimpleNamespace(all_reduce=lambda value, op: value)
    buffer.normalize(alone, "advantages", divide_by_std=divide)
    rows = iter(buffer.items)
    for item in experiences:
        item.advantages = torch.stack([next(rows).advantages for _ in item.advantages])


def loss(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return the loss of an optimizer step, the mean of its micro-batches, and its gradient."""
    new = batch["new"].clone().requires_grad_()
    parts = {**batch, "new": new}
    sizes = range(0, len(new), case["micro"])
    micro = [{key: value[i : i + case["micro"]] for key, value in parts.items()} for i in sizes]
    total = sum(policy_loss(case, part, info) for part, info in normalizers(micro)) / len(micro)
    (gradient,) = torch.autograd.grad(total, new)
    return {"loss": total.detach().numpy(), "gradient": gradient.numpy()}


def normalizers(micro: list[Batch]) -> Iterator[tuple[Batch, dict[str, Any]]]:
    """Yield each micro-batch with what its losses are divided by."""
    if RELEASE != NEWEST:
        yield from ((part, {}) for part in micro)
        return
    from openrlhf.utils.loss_utils import iter_grad_accum_global_norm

    strategy = SimpleNamespace()
    yield from iter_grad_accum_global_norm(micro, strategy, len(micro), lambda part: part["mask"])


def policy_loss(case: dict[str, Any], part: Batch, info: dict[str, Any]) -> torch.Tensor:
    """Return what the actor's training step makes of a micro-batch."""
    from openrlhf.models.utils import compute_approx_kl, masked_mean

    mask = part["mask"]
    if case["packed"]:
        rows = mask.bool()
        part = {key: part[key][rows][None] for key in ("old", "new", "reference", "advantages")}
        mask = None
    total = make_loss(case)(part["new"], part["old"], part["advantages"], action_mask=mask, **info)
    total = total[0] if isinstance(total, tuple) else total
    if not case["kl"]:
        return total
    if RELEASE == NEWEST:
        from openrlhf.models.loss import aggregate_loss

        divergence = compute_approx_kl(
            part["new"],
            part["reference"],
            log_probs_old=part["old"],
            kl_estimator=case["kl"],
            unbiased_gradient=case["unbiased"],
        )
        return total + case["weight"] * aggregate_loss(divergence, mask, **info)
    divergence = compute_approx_kl(part["new"], part["reference"], kl_estimator=case["kl"])
    if RELEASE == MIDDLE:
        return total + case["weight"] * masked_mean(divergence, mask)
    return total + case["weight"] * masked_mean(divergence, mask, dim=-1).mean()


def make_loss(case: dict[str, Any]) -> Any:
    """Return the loss of the release with the options of a case."""
    from openrlhf.models.loss import PolicyLoss

    low, high = case["bounds"]
    if RELEASE == OLDEST:
        return PolicyLoss(clip_eps=low)
    options = {
        "clip_eps_low": low,
        "clip_eps_high": high,
        "dual_clip": case["dual"],
        "policy_loss_type": case["loss"],
    }
    if RELEASE == NEWEST:
        options["token_level_loss"] = case["mode"] == "token-mean"
    return PolicyLoss(**options)


def controller(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return the mean divergence of a rollout, and the weight that follows from it."""
    from openrlhf.models.utils import compute_approx_kl, masked_mean
    from openrlhf.trainer.ppo_utils.kl_controller import AdaptiveKLController

    kl = compute_approx_kl(batch["old"], batch["reference"], kl_estimator=case["kl"])
    mean = masked_mean(kl, batch["mask"], dim=-1).mean().item()
    moving = AdaptiveKLController(case["weight"], case["target"], case["horizon"])
    moving.update(mean, len(kl))
    return {"mean": np.array(mean), "weight": np.array(moving.value)}


KINDS = {"advantages": advantages, "loss": loss, "controller": controller}


def main() -> None:
    """Read the arguments, compute every case, write the result."""
    source, cases, target = sys.argv[1:]
    sys.meta_path.append(Absent())
    if RELEASE == OLDEST:
        keep_on_cpu()
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    batches: dict[str, Batch] = {}
    with np.load(source) as arrays:
        for name in arrays.files:
            batch, _, key = name.partition(".")
            batches.setdefault(batch, {})[key] = torch.from_numpy(arrays[name])
    result = {}
    with open(cases, encoding="utf-8") as file:
        for number, case in enumerate(json.load(file)):
            for key, value in KINDS[case["kind"]](case, batches[case["batch"]]).items():
                result[f"{number}.{key}"] = value
    np.savez(target, **result)


if __name__ == "__main__":
    main()

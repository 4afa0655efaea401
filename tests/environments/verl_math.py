"""Compute advantages, penalized rewards and losses with verl's own code; runs in `verl`.

    python verl_math.py BATCHES.npz CASES.json RESULT.npz

A batch is some arrays whose names begin with its own: `index` `[B]`, `mask`, `rewards`, `old`,
`new`, `reference` and `advantages` `[B, T]`, `baselines` `[B]`, and `<name>` `[B]` for each
reward that is normalized apart. A case names a batch and what to compute of it; the result holds
`<index>.<name>` for each array that a case gives, and the names of all estimators and losses.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from verl.trainer.config import AlgoConfig
from verl.trainer.config.algorithm import RolloutCorrectionConfig
from verl.trainer.ppo.core_algos import (
    ADV_ESTIMATOR_REGISTRY,
    POLICY_LOSS_REGISTRY,
    AdaptiveKLController,
    agg_loss,
    get_adv_estimator_fn,
    get_policy_loss_fn,
    kl_penalty,
)
from verl.workers.config import ActorConfig, PolicyLossConfig

Batch = dict[str, torch.Tensor]


def advantages(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return the advantages of an estimator, called as verl's trainer calls it."""
    mask = batch["mask"]
    known = {"index": batch["index"].numpy(), "reward_baselines": batch["baselines"]}
    given: dict[str, Any] = {
        "token_level_rewards": batch["rewards"].clone(),
        "response_mask": mask,
        "config": AlgoConfig(**case["config"]),
        **known,
    }
    name = case["estimator"]
    if name == "grpo":
        given["norm_adv_by_std_in_grpo"] = case["config"].get("norm_adv_by_std_in_grpo", True)
        del given["config"], given["reward_baselines"]
    elif name == "grpo_vectorized":
        del given["reward_baselines"]
    elif name == "gdpo":
        # A prompt of one token stands before each response.
        one = torch.ones(len(mask), 1)
        given["batch"] = {"prompts": one, "attention_mask": torch.cat([one, mask], 1).long()}
        given["non_tensor_batch"] = {
            key: batch[key].numpy() for key in case["config"]["gdpo_reward_keys"]
        }
    values, _ = get_adv_estimator_fn(name)(**given)
    return {"advantages": values.numpy()}


def rewards(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return rewards less a divergence, its mean, and the next weight of an adaptive one."""
    mask = batch["mask"]
    divergence = kl_penalty(batch["old"], batch["reference"], kl_penalty=case["estimator"]) * mask
    mean = float((divergence.sum(-1) / mask.sum(-1)).mean())
    controller = AdaptiveKLController(case["weight"], case["target"], case["horizon"])
    controller.update(mean, len(mask))
    penalized = batch["rewards"] - case["weight"] * divergence
    return {
        "rewards": penalized.numpy(),
        "mean": np.array(mean),
        "weight": np.array(controller.value),
    }


def loss(case: dict[str, Any], batch: Batch) -> dict[str, np.ndarray]:
    """Return the loss of a whole mini-batch and its gradient by `new`."""
    mask = batch["mask"]
    config = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_mini_batch_size=4,
        ppo_micro_batch_size_per_gpu=1,
        use_dynamic_bsz=False,
        policy_loss=PolicyLossConfig(
            loss_mode=case["loss"],
            rollout_correction=RolloutCorrectionConfig(**case["correction"]),
            **case["policy_loss"],
        ),
        **case["actor"],
    )
    everything = {
        "dp_size": 1,
        "batch_num_tokens": int(mask.sum()),
        "global_batch_size": len(mask),
        "loss_scale_factor": case["loss_scale_factor"],
    }
    config.global_batch_info.update(everything)
    new = batch["new"].clone().requires_grad_()
    torch.manual_seed(case["seed"])
    total, _ = get_policy_loss_fn(case["loss"])(
        old_log_prob=batch["old"],
        log_prob=new,
        advantages=batch["advantages"],
        response_mask=mask,
        loss_agg_mode=case["aggregation"],
        config=config,
    )
    if case["kl"]:
        divergence = kl_penalty(new, batch["reference"], kl_penalty=case["kl"])
        total = total + case["kl_weight"] * agg_loss(
            divergence, mask, case["aggregation"], **everything
        )
    (gradient,) = torch.autograd.grad(total, new)
    return {"loss": total.detach().numpy(), "gradient": gradient.numpy()}


KINDS = {"advantages": advantages, "rewards": rewards, "loss": loss}


def main() -> None:
    """Read the arguments, compute every case, write the result."""
    source, cases, target = sys.argv[1:]
    batches: dict[str, Batch] = {}
    with np.load(source) as arrays:
        for name in arrays.files:
            batch, _, key = name.partition(".")
            batches.setdefault(batch, {})[key] = torch.from_numpy(arrays[name])
    result = {
        "names.estimators": np.array(sorted(map(str, ADV_ESTIMATOR_REGISTRY))),
        "names.losses": np.array(sorted(POLICY_LOSS_REGISTRY)),
    }
    with open(cases, encoding="utf-8") as file:
        for number, case in enumerate(json.load(file)):
            for key, value in KINDS[case["kind"]](case, batches[case["batch"]]).items():
                result[f"{number}.{key}"] = value
    np.savez(target, **result)


if __name__ == "__main__":
    main()

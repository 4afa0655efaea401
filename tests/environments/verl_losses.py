"""Compute policy losses with verl's own code; runs in the environment `verl`.

    python verl_losses.py BATCH.npz CASES.json RESULT.npz

The batch holds `old`, `logp`, `advantages` and `mask`, `[B, T]` each. A case names a loss of verl's
registry, an aggregation and the config. The result holds `<index>.loss` and `<index>.gradient`, the
latter by `logp`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.workers.config import ActorConfig, PolicyLossConfig


def compute(case: dict[str, Any], batch: dict[str, torch.Tensor]) -> tuple[float, np.ndarray]:
    """Return the aggregated loss of one case and its gradient."""
    config = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_mini_batch_size=4,
        ppo_micro_batch_size_per_gpu=1,
        use_dynamic_bsz=False,
        clip_ratio_low=case["clip_ratio_low"],
        clip_ratio_high=case["clip_ratio_high"],
        clip_ratio_c=case["clip_ratio_c"],
        policy_loss=PolicyLossConfig(loss_mode=case["loss"], dro_beta=case["dro_beta"]),
    )
    logp = batch["logp"].clone().requires_grad_()
    loss, _ = get_policy_loss_fn(case["loss"])(
        old_log_prob=batch["old"],
        log_prob=logp,
        advantages=batch["advantages"],
        response_mask=batch["mask"],
        loss_agg_mode=case["aggregation"],
        config=config,
    )
    (gradient,) = torch.autograd.grad(loss, logp)
    return float(loss.detach()), gradient.numpy()


def main() -> None:
    """Read the arguments, compute every case, write the result."""
    source, cases, target = sys.argv[1:]
    with np.load(source) as arrays:
        batch = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    result = {}
    with open(cases, encoding="utf-8") as file:
        for index, case in enumerate(json.load(file)):
            result[f"{index}.loss"], result[f"{index}.gradient"] = compute(case, batch)
    np.savez(target, **result)


if __name__ == "__main__":
    main()

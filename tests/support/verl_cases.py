"""The cases of verl's mathematics: what is asked of verl, and the launch that asks for the same."""

from __future__ import annotations

from itertools import product
from typing import Any

from support.verl_launch import ACTOR, launched, script_of
from support.verl_math import COMPONENTS, SHAPES, draw

BATCHES = {name: draw(shape) for name, shape in SHAPES.items()}
BATCHES["still"] = {**BATCHES["ragged"], "new": BATCHES["ragged"]["old"]}
"""The policy has not moved since it sampled."""
GAMMA = 0.9
WEIGHTS = [0.7, 1.5]
ESTIMATORS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "grpo_unscaled": {"norm_adv_by_std_in_grpo": False},
    "grpo_vectorized": {},
    "grpo_vectorized_always_scales": {"norm_adv_by_std_in_grpo": False},
    "grpo_passk": {},
    "grpo_passk_unscaled": {"norm_adv_by_std_in_grpo": False},
    "rloo": {},
    "rloo_vectorized": {},
    "opo": {},
    "gpg": {},
    "reinforce_plus_plus": {"gamma": GAMMA},
    "reinforce_plus_plus_baseline": {},
    "remax": {},
    "gdpo": {"gdpo_reward_keys": list(COMPONENTS)},
    "gdpo_weighted": {"gdpo_reward_keys": list(COMPONENTS), "gdpo_reward_weights": WEIGHTS},
}
"""Options of `algorithm.*` by estimator and what is special about a case of it."""
ENDINGS = ("_unscaled", "_always_scales", "_weighted")
SINGLES = "ragged"
"""The batch in which some prompts have one response."""
LOSSES: dict[str, dict[str, float]] = {
    "vanilla": {"clip_ratio_c": 3.0},
    "gspo": {},
    "sapo": {"tau_pos": 1.0, "tau_neg": 1.3},
    "gpg": {},
    "clip_cov": {"clip_cov_ratio": 0.05, "clip_cov_lb": 0.1, "clip_cov_ub": 2.0},
    "kl_cov": {"kl_cov_ratio": 0.1, "ppo_kl_coef": 0.4},
    "geo_mean": {},
    "cispo": {},
    "dro": {"dro_beta": 0.07},
    "dppo_tv": {"clip_ratio_c": 4.0},
    "dppo_kl": {"clip_ratio_c": 4.0},
}
"""Options that only some losses read."""
BOUNDS = {"clip_ratio_low": 0.15, "clip_ratio_high": 0.28}
IN_ACTOR = frozenset({"clip_ratio_c", "tau_pos", "tau_neg"})
AGGREGATIONS = (
    *("token-mean", "token-sum", "seq-mean-token-sum", "seq-mean-token-mean"),
    "seq-mean-token-sum-norm",
)
HORIZON = 17
DIVERGENCES = ("kl", "k1", "abs", "mse", "k2", "low_var_kl", "k3", "k1+", "abs+", "k2+", "k3+")
COEFFICIENT, TARGET, STEPS = 0.3, 0.05, 100
SEED = 3


def estimator_case(name: str, batch: str) -> dict[str, Any]:
    """Return the case of an estimator on a batch."""
    estimator = name
    for ending in ENDINGS:
        estimator = estimator.removesuffix(ending)
    return {
        "kind": "advantages",
        "batch": batch,
        "estimator": estimator,
        "config": ESTIMATORS[name],
    }


def reward_case(estimator: str, batch: str) -> dict[str, Any]:
    """Return the case of a divergence that rewards lose."""
    numbers = {"weight": COEFFICIENT, "target": TARGET, "horizon": STEPS}
    return {"kind": "rewards", "batch": batch, "estimator": estimator, **numbers}


def loss_case(loss: str, aggregation: str, batch: str, kl: str = "", **more: Any) -> dict[str, Any]:
    """Return the case of a loss, with a divergence in it or without."""
    options = LOSSES.get(loss, {})
    own = {key: value for key, value in options.items() if key not in IN_ACTOR}
    return {
        "kind": "loss",
        "batch": batch,
        "loss": loss,
        "aggregation": aggregation,
        "actor": {**BOUNDS, **{key: options[key] for key in options.keys() & IN_ACTOR}},
        "policy_loss": own,
        "correction": {},
        "kl": kl,
        "kl_weight": COEFFICIENT,
        "loss_scale_factor": HORIZON,
        "seed": SEED,
        **more,
    }


ADVANTAGES = [
    (name, batch)
    for name, batch in product(ESTIMATORS, SHAPES)
    if not (name.startswith("grpo_passk") and batch == SINGLES)
]
REWARDS = list(product(DIVERGENCES, SHAPES))
PLAIN = list(product(LOSSES, AGGREGATIONS, SHAPES))
FRESH = list(product(("vanilla", "gspo", "cispo", "gpg", "sapo", "geo_mean"), AGGREGATIONS))
WITH_KL = list(
    product(
        ("vanilla", "gspo", "sapo", "geo_mean", "cispo"),
        ("token-mean", "seq-mean-token-sum-norm"),
        DIVERGENCES,
    )
)
REINFORCE = {"loss_type": "reinforce", "rollout_is_threshold": 1.5}
CORRECTIONS: dict[str, dict[str, Any]] = {
    "no_weights": {**REINFORCE, "rollout_is": None},
    "token": {**REINFORCE, "rollout_is": "token"},
    "sequence": {**REINFORCE, "rollout_is": "sequence"},
    "two_bounds": {**REINFORCE, "rollout_is": "token", "rollout_is_threshold": "0.6_1.6"},
    "mean_one": {**REINFORCE, "rollout_is": "token", "rollout_is_batch_normalize": True},
    "sequence_mean_one": {
        **REINFORCE,
        "rollout_is": "sequence",
        "rollout_is_batch_normalize": True,
    },
    "weighted_rejection": {
        **REINFORCE,
        "rollout_is": "token",
        "rollout_rs": "token_k2",
        "rollout_rs_threshold": 0.1,
    },
    **{
        f"{rule}_{bounds}": {
            "loss_type": "ppo_clip",
            "rollout_is": "token",
            "rollout_rs": rule,
            "rollout_rs_threshold": bounds,
        }
        for rule, bounds in (
            ("token_k1", "0.6_1.8"),
            ("token_k1", "1.5"),
            ("token_k3", "0.05"),
            ("seq_sum_k1", "0.2_4.0"),
            ("seq_mean_k1", "0.9_1.3"),
            ("seq_mean_k2", "0.3"),
            ("seq_max_k3", "2.5"),
            ("token_k1,seq_max_k2", "0.6_1.6,2.5"),
        )
    },
}
"""Options of `algorithm.rollout_correction.*` with `bypass_mode`."""
BYPASSED = list(product(CORRECTIONS, AGGREGATIONS))


def bypass_case(name: str, aggregation: str) -> dict[str, Any]:
    """Return the case of a correction."""
    correction = {"bypass_mode": True, **CORRECTIONS[name]}
    return loss_case("bypass_mode", aggregation, "ragged", correction=correction)


CASES = [
    *(estimator_case(*case) for case in ADVANTAGES),
    *(reward_case(*case) for case in REWARDS),
    *(loss_case(*case) for case in PLAIN),
    *(loss_case(*case, "still") for case in FRESH),
    *(loss_case(loss, mode, "ragged", kl) for loss, mode, kl in WITH_KL),
    *(bypass_case(*case) for case in BYPASSED),
]


def advantage_script(case: dict[str, Any]) -> str:
    """Return the script of a launch with an estimator."""
    options = {f"algorithm.{key}": value for key, value in case["config"].items()}
    num = 1 if case["batch"] == SINGLES else 4
    return script_of(
        launched(
            {
                "algorithm.adv_estimator": case["estimator"],
                "actor_rollout_ref.rollout.n": num,
                **options,
            }
        )
    )


def loss_options(case: dict[str, Any]) -> dict[str, object]:
    """Return the options of a launch with a loss."""
    own = {f"{ACTOR}.policy_loss.{key}": value for key, value in case["policy_loss"].items()}
    correction = {
        f"algorithm.rollout_correction.{key}": "null"
        if value is None
        else f'"{value}"'
        if isinstance(value, str)
        else value
        for key, value in case["correction"].items()
    }
    loss = "vanilla" if correction else case["loss"]
    options: dict[str, object] = {
        "algorithm.adv_estimator": "grpo",
        f"{ACTOR}.policy_loss.loss_mode": loss,
        f"{ACTOR}.loss_agg_mode": case["aggregation"],
        f"{ACTOR}.loss_scale_factor": case["loss_scale_factor"],
        **{f"{ACTOR}.{key}": value for key, value in case["actor"].items()},
        **own,
        **correction,
    }
    if case["kl"]:
        options[f"{ACTOR}.use_kl_loss"] = True
        options[f"{ACTOR}.kl_loss_coef"] = case["kl_weight"]
        options[f"{ACTOR}.kl_loss_type"] = case["kl"]
    if case["batch"] == "still":
        options["data.train_batch_size"] = 8
    return options


def loss_script(case: dict[str, Any]) -> str:
    """Return the script of a launch with a loss."""
    return script_of(launched(loss_options(case)))

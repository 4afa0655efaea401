"""Rules: how the responses of a rollout are compared.

Source: verl `trainer/ppo/core_algos.py` and `compute_advantage` of `trainer/ppo/ray_trainer.py`.
"""

from __future__ import annotations

from typing import Final

from mint_migrate.model.verl_math import Advantages
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings

ESTIMATORS: Final = frozenset(
    {
        *("grpo", "grpo_vectorized", "grpo_passk", "rloo", "rloo_vectorized", "opo", "gpg"),
        *("reinforce_plus_plus", "reinforce_plus_plus_baseline", "remax", "gdpo"),
    }
)
REFUSED: Final = {
    "gae": (
        "MM301",
        "`gae` needs a critic, which MinT does not have; `algorithm.adv_estimator=grpo` compares "
        "the responses to a prompt instead, `reinforce_plus_plus` those of the whole rollout; "
        "`--ppo critic-free` chooses one of them",
    ),
    "optimal_token_baseline": (
        "MM303",
        "`optimal_token_baseline` weighs tokens by their whole distribution, of which MinT returns "
        "one probability; `rloo` is the nearest estimator without that",
    ),
    "tir_optimal_token_baseline": (
        "MM303",
        "`tir_optimal_token_baseline` weighs tokens by their whole distribution, of which MinT "
        "returns one probability; `rloo` is the nearest estimator without that",
    ),
}
KEY: Final = "algorithm.adv_estimator"
TARGET: Final = "compute_advantages"


def plan_advantages(settings: Settings) -> Advantages:
    """Decide the estimator and the options that only estimators read.

    Raises:
        Blocked: it needs a critic or whole distributions, or is not verl's.
    """
    estimator = str(settings.known(KEY))
    is_replaced = estimator == "gae" and settings.critic_free
    if is_replaced:
        estimator = _without_critic(settings)
    if estimator in REFUSED:
        raise Blocked(*REFUSED[estimator])
    if estimator not in ESTIMATORS:
        raise Blocked(
            "MM349", f"`{estimator}` is not an advantage estimator of verl; write its own"
        )
    if not is_replaced:
        settings.exact(KEY, TARGET)
    settings.exact("algorithm.f_norm", "nothing", "verl's trainer does not hand it on")
    settings.exact("algorithm.lam", "nothing", f"`{estimator}` does not read it")
    _plan_reweighting(settings)
    num_responses = settings.value("actor_rollout_ref.rollout.n").data
    return Advantages(
        # Grouped or not, both forms compute the same.
        estimator="grpo" if estimator == "grpo_vectorized" else estimator,
        scales=_plan_scale(settings, estimator),
        may_be_single=not (isinstance(num_responses, int) and num_responses > 1),
        gamma=_plan_gamma(settings, estimator),
        components=_plan_components(settings, estimator),
    )


def _without_critic(settings: Settings) -> str:
    """Return the estimator that the user's choice puts in place of `gae`."""
    number = settings.value("actor_rollout_ref.rollout.n").data
    has_groups = isinstance(number, int) and number > 1
    estimator = "grpo" if has_groups else "reinforce_plus_plus"
    compared = "the responses to a prompt" if has_groups else "those of the whole rollout"
    settings.differ(
        KEY,
        "MM301",
        f"another algorithm, as `--ppo critic-free` asks: `{estimator}` compares {compared}, "
        "and no critic is trained",
        TARGET,
    )
    return estimator


def _plan_scale(settings: Settings, estimator: str) -> bool:
    """Say whether differences are divided by the spread of their group."""
    key = "algorithm.norm_adv_by_std_in_grpo"
    if estimator in {"grpo", "grpo_passk"}:
        value = settings.known(key)
        settings.exact(key, TARGET)
        return value is None or bool(value)
    always = "divides always" if estimator in {"grpo_vectorized", "gdpo"} else "does not read it"
    settings.exact(key, "nothing", f"`{estimator}` {always}")
    return True


def _plan_gamma(settings: Settings, estimator: str) -> str:
    key = "algorithm.gamma"
    if estimator == "reinforce_plus_plus":
        return settings.use(key, kind="float")
    settings.exact(key, "nothing", f"`{estimator}` does not discount")
    return "1.0"


def _plan_components(settings: Settings, estimator: str) -> tuple[str, str]:
    """Return the expressions of the rewards that `gdpo` normalizes apart, and of their weights."""
    names, weights = "algorithm.gdpo_reward_keys", "algorithm.gdpo_reward_weights"
    if estimator != "gdpo":
        for key in (names, weights):
            settings.exact(key, "nothing", f"`{estimator}` does not read it")
        return "", ""
    if settings.value(names).data is None:
        raise Blocked("MM349", f"`gdpo` needs `{names}`: the rewards that it normalizes apart")
    if settings.value(weights).data is None:
        settings.exact(weights, "nothing", "each reward counts the same")
        return settings.use(names, kind="list"), ""
    return settings.use(names, kind="list"), settings.use(weights, kind="list")


def _plan_reweighting(settings: Settings) -> None:
    """Decide PF-PPO, which verl applies under `gae` only."""
    for key in list(settings.given):
        if key == "algorithm.use_pf_ppo" or key.startswith("algorithm.pf_ppo"):
            settings.exact(key, "nothing", "verl reads it under `gae` only")

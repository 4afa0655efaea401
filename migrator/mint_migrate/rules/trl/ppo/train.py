"""Rule: PPO from 0.12 on, with a reward model and without its critic."""

from __future__ import annotations

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.ppo_script import EpisodesScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.episodes.plan import (
    FIELDS,
    maker_of,
    plan_episodes,
)
from mint_migrate.rules.trl.ppo.critic import CRITIC_OPTIONS, decide_critic
from mint_migrate.rules.trl.state import TrainerPlan

PPO_FIELDS = FIELDS | {"kl_estimator", "whiten_rewards", "gamma", "lam", *CRITIC_OPTIONS}
"""Fields that these rules decide."""


def plan_ppo(plan: TrainerPlan) -> EpisodesScript:
    """Decide the options of PPO.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    config = plan.config
    facts = plan.ledger.tables.facts(plan.ledger.version)
    decide_critic(plan, plan.train_use.statement)
    _drop_value_model(plan)
    multiplies = plan.kind.trainer == "trl.PPOv2Trainer" or facts["ppo_batch"].value == "multiplied"
    loop, episodes = plan_episodes(plan, "PPO", multiplies=multiplies, averages_tokens=True)
    for name in ("gamma", "lam"):
        if config.has(name):
            config.keep(name)
        config.need(name)
    return EpisodesScript(
        **loop,
        **episodes,
        algorithm="ppo",
        kl_estimator=_estimator(config),
        whitens_rewards=_flag(config, "whiten_rewards"),
    )


def _drop_value_model(plan: TrainerPlan) -> None:
    """The critic is neither loaded nor trained."""
    argument = plan.given("value_model")
    call = maker_of(plan, argument) if argument is not None else None
    if call is None or call.found in plan.ledger.decisions:
        return
    note = "there is no value function"
    plan.ledger.decide_call(call, Fidelity.APPROXIMATE, "MM259", note)
    if call.is_statement and call.target is not None:
        plan.ledger.remove_statement(call.statement)
        plan.ledger.removed[(call.target, call.scope)] = "MM259"


def _estimator(config: ConfigPlan) -> str:
    name = "kl_estimator"
    if config.row(name) is None:
        return "k1"
    kind = str(config.literal(name) or "k1")
    if kind not in {"k1", "k3"}:
        raise Blocked("MM292", f"`{name}={kind!r}` is neither k1 nor k3")
    config.exact(name, "train()")
    return kind


def _flag(config: ConfigPlan, name: str) -> bool:
    value = bool(config.literal(name))
    config.exact(name, "compute_advantages()")
    return value

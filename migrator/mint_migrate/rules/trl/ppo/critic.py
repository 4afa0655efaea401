"""Rule: the critic. PPO is refused, or goes on without it where the user asks for that."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.state import BuiltTrainer

CRITIC_FREE = "critic-free"
CRITIC_OPTIONS = ("vf_coef", "cliprange_value")
CHANGED = (
    "another algorithm, asked for with --ppo critic-free: no value function is trained; an "
    "advantage is the discounted (gamma * lam) sum of the rewards from its token on, whitened "
    "over the batch"
)


def check_critic(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    """Refuse PPO unless it may go on without its critic.

    Raises:
        Blocked: the option is not given.
    """
    if ledger.options.ppo != CRITIC_FREE:
        raise Blocked(
            "MM241",
            "PPO trains a critic, which MinT does not have; with `--ppo critic-free` it is "
            "converted without one (advantages from rewards alone, another algorithm)",
            trainer.found,
        )


def decide_critic(plan: BuiltTrainer, place: Span) -> None:
    """Say what changed, and decide the options that belong to the critic."""
    plan.ledger.differ(plan.trainer.found, "MM259", CHANGED, place)
    for name in CRITIC_OPTIONS:
        plan.config.decide(
            name, Fidelity.APPROXIMATE, "MM259", "nothing", "there is no value function"
        )
    value_model = plan.arguments.get("value_model")
    if value_model is not None:
        plan.ledger.decide(
            value_model.found,
            Fidelity.APPROXIMATE,
            row=plan.ledger.tables.row("trl.PPOTrainer.value_model", plan.ledger.version),
            code="MM259",
            note="there is no value function",
        )

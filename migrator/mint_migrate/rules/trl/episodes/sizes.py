"""Rule: how many responses are sampled together, and how they make optimizer steps.

A batch is used `num_ppo_epochs` times, cut into mini-batches. Up to 0.16 (PPO), and always in RLOO,
a batch is `num_mini_batches` times the rows of a step; later PPO cuts the rows of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan, plan_batch
from mint_migrate.rules.trl.state import TrainerPlan

ACCUMULATION = "gradient_accumulation_steps"
SIZES = frozenset({"num_mini_batches", "num_ppo_epochs", "total_episodes", "max_steps"})
"""Fields decided here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes as expressions of the loop."""

    rollout: str
    mini: str
    micro: bool
    counts_episodes: bool


def plan_sizes(plan: TrainerPlan, *, multiplies: bool, averages_tokens: bool) -> Sizes:
    """Decide the sizes.

    Args:
        plan: the trainer.
        multiplies: a batch is `num_mini_batches` times the rows of a step, rather than cut by it.
        averages_tokens: the loss is a mean over the tokens of each micro-batch.

    Raises:
        Blocked: mini-batches and accumulation do not fit together.
    """
    config = plan.config
    parts = _parts(config)
    accumulation = None if config.is_dynamic(ACCUMULATION) else config.literal(ACCUMULATION)
    accumulates = accumulation not in {None, 1} or config.is_dynamic(ACCUMULATION)
    if accumulates:
        _say_last_batch(config)
    if not multiplies and accumulates and parts != 1:
        raise Blocked(
            "MM235",
            "`num_mini_batches` and `gradient_accumulation_steps` together do not make the steps "
            "they name in this release; give one of them",
        )
    plan_batch(config, accumulates and averages_tokens)
    if parts != 1:
        config.keep("num_mini_batches")
    else:
        config.exact("num_mini_batches", "config.batch_size", "one mini-batch")
    _keep(config, "num_ppo_epochs")
    rows, cut = "config.batch_size", "config.num_mini_batches"
    return Sizes(
        rollout=f"{rows} * {cut}" if parts != 1 and multiplies else rows,
        mini=f"{rows} // {cut}" if parts != 1 and not multiplies else rows,
        micro=accumulates and averages_tokens,
        counts_episodes=_episodes(config),
    )


def _parts(config: ConfigPlan) -> object:
    """Return `num_mini_batches`; None where it is an expression."""
    name = "num_mini_batches"
    if config.is_dynamic(name):
        return None
    value = config.literal(name)
    return 1 if value is None else value


def _keep(config: ConfigPlan, name: str) -> None:
    if config.has(name):
        config.keep(name)
    else:
        config.need(name)


def _episodes(config: ConfigPlan) -> bool:
    """Decide the length of training; return whether it is given in episodes."""
    if config.has("max_steps"):
        config.exact("max_steps", "nothing to do", "the original counted episodes")
        del config.arguments["max_steps"]
    name = "total_episodes"
    if not config.has(name) or config.text(name) == "None":
        config.exact(name, "config.num_train_epochs")
        return False
    config.keep(name)
    return True


def _say_last_batch(config: ConfigPlan) -> None:
    note = (
        "the original made a step of every micro-batch in the last batch of an epoch; here all "
        "batches accumulate alike"
    )
    if config.has(ACCUMULATION):
        config.decide(ACCUMULATION, Fidelity.APPROXIMATE, "MM235", "config.batch_size", note)
        config.ledger.differ(config.arguments[ACCUMULATION].found, "MM235", note)

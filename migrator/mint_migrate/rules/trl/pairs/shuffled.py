"""Rule: releases that shuffled the rows of KTO and BCO once, when the trainer was built."""

from __future__ import annotations

from mint_migrate.rules.trl.pairs.plan import Facts
from mint_migrate.rules.trl.state import TrainerPlan

CODE = "MM261"
UNSEEDED = (
    "this release shuffled the rows once with a generator that nothing seeds unless `data_seed` is "
    "given, so no two runs had one order; the result shuffles with `seed`"
)


def plan_shuffle(plan: TrainerPlan, facts: Facts) -> str:
    """Return the expression of the seed that the rows are shuffled with; "" where they are not.

    `Dataset.shuffle` draws the same permutation in every release of `datasets`.
    """
    config = plan.config
    if not facts[f"{plan.kind.short}_shuffles"]:
        return ""
    if config.has("data_seed") and config.text("data_seed") != "None":
        return "config.data_seed"
    plan.ledger.differ(plan.trainer.found, CODE, UNSEEDED, plan.train_use.statement)
    return "config.seed"

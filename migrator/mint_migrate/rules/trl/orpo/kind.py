"""`ORPOTrainer(...)` and its `.train()` become a loop with ORPO's loss on the client.

Formulas: TRL v1.16.0, `experimental/orpo/orpo_trainer.py`, and its older releases.
"""

from __future__ import annotations

from mint_migrate.model.pairs_script import OrpoScript
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.answers import (
    LENGTHS,
    evaluation_rows,
    imports,
    plan_answers,
    positional,
)
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import loop_fields, number, open_loop
from mint_migrate.rules.trl.state import TrainerPlan

PADDED = (
    "this release counted the padding of a batch in the likelihood of the chosen answers; the "
    "result counts their tokens"
)


def plan_orpo(plan: TrainerPlan) -> OrpoScript:
    """Decide the options of ORPO.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    loop = open_loop(plan, "ORPO")
    number(plan, "beta")
    if loop.facts["orpo_likelihood"] == "with_padding":
        plan.ledger.differ(plan.trainer.found, "MM221", PADDED, plan.train_use.statement)
    shared, epochs = loop_fields(plan, loop)
    return OrpoScript(
        **shared,
        **epochs,
        rows=plan_answers(plan, loop.facts),
        loss_type="orpo",
        divisor=loop.divisor,
    )


ORPO = TrainerKind(
    trainer="trl.ORPOTrainer",
    config="trl.ORPOConfig",
    short="orpo",
    headline="Odds ratio preference optimization",
    calls_callbacks=True,
    positional=positional,
    decided=LENGTHS | {"beta"},
    roles=ROLES | {"loss": ("orpo_loss", "odds_ratio_loss", "orpo_loss_on_mint")},
    plan=plan_orpo,
    imports=imports,
    evaluation_rows=evaluation_rows,
)

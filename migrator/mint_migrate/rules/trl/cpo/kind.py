"""`CPOTrainer(...)` and its `.train()` become a loop with the chosen loss on the client.

Formulas: TRL v1.16.0, `experimental/cpo/cpo_trainer.py`, and its older releases.
"""

from __future__ import annotations

from mint_migrate.model.pairs_script import CpoScript
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.answers import (
    LENGTHS,
    evaluation_rows,
    imports,
    plan_answers,
    positional,
)
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import (
    carry,
    choice,
    is_zero,
    loop_fields,
    number,
    open_loop,
)
from mint_migrate.rules.trl.state import TrainerPlan

DECIDED = LENGTHS | {"beta", "loss_type", "label_smoothing", "cpo_alpha", "simpo_gamma", "alpha"}
LOSSES = ("sigmoid", "hinge", "ipo", "simpo", "alphapo")
SMOOTHED = frozenset({"sigmoid", "simpo"})
SUMS = "the margin is the log-probability of the chosen less that of the rejected answer."
MEANS = "the margin is that of the mean log-probabilities of the answers' tokens."
FORMULAS = {
    "sigmoid": f"-log sigmoid(beta * margin): {SUMS}",
    "hinge": f"max(0, 1 - beta * margin): {SUMS}",
    "ipo": f"(margin - 1 / (2 * beta)) ** 2: {MEANS}",
    "simpo": f"-log sigmoid(beta * margin - simpo_gamma): {MEANS}",
}
WORDS = {"sigmoid": "CPO", "hinge": "hinge", "ipo": "IPO", "simpo": "SimPO"}


def plan_cpo(plan: TrainerPlan) -> CpoScript:
    """Decide the options of CPO, SimPO and AlphaPO.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or the loss has no conversion.
    """
    config = plan.config
    loop = open_loop(plan, "CPO")
    given = choice(plan, "loss_type", LOSSES)
    loss_type = "simpo" if given == "alphapo" else given
    config.exact("loss_type", f"{plan.names['loss']}()")
    number(plan, "beta")
    nll = given != "alphapo" and not is_zero(plan, "cpo_alpha")
    smooths = loss_type in SMOOTHED and not is_zero(plan, "label_smoothing")
    shapes = not is_zero(plan, "alpha")
    carry(plan, "cpo_alpha", nll)
    carry(plan, "simpo_gamma", loss_type == "simpo")
    carry(plan, "label_smoothing", smooths)
    carry(plan, "alpha", shapes)
    shared, epochs = loop_fields(plan, loop)
    return CpoScript(
        **shared,
        **epochs,
        rows=plan_answers(plan, loop.facts),
        loss_type=loss_type,
        divisor=loop.divisor,
        nll=nll,
        smooths=smooths,
        alpha=shapes,
        loss_words=WORDS[loss_type],
        formula=FORMULAS[loss_type],
    )


CPO = TrainerKind(
    trainer="trl.CPOTrainer",
    config="trl.CPOConfig",
    short="cpo",
    headline="Contrastive preference optimization",
    calls_callbacks=True,
    positional=positional,
    decided=DECIDED,
    roles=ROLES | {"loss": ("preference_loss", "cpo_loss", "cpo_loss_on_mint")},
    plan=plan_cpo,
    imports=imports,
    evaluation_rows=evaluation_rows,
)

"""`TPOTrainer(...)` and its `.train()` become a loop over rows of three answers.

A preference between two of them, without a reference model, and the likelihood of the third, the
gold answer. Formulas: TRL v1.16.0, `experimental/tpo/tpo_trainer.py`, and its older releases.
"""

from __future__ import annotations

from mint_migrate.model.pairs_script import RowsScript, TpoScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.answers import evaluation_rows
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import (
    Facts,
    carry,
    choice,
    is_zero,
    loop_fields,
    number,
    open_loop,
)
from mint_migrate.rules.trl.pairs.rows import known_columns, maximal_length, notice_columns
from mint_migrate.rules.trl.state import TrainerPlan

DECIDED = frozenset(
    {
        *("beta", "loss_type", "label_smoothing", "tpo_alpha", "tpo_l_gamma"),
        *("max_length", "truncation_mode"),
    }
)
SMOOTHED = frozenset({"sigmoid", "tpo-l"})
SUMS = "the margin is the log-probability of the chosen less that of the rejected answer."
MEANS = "the margin is that of the mean log-probabilities of the answers' tokens."
FORMULAS = {
    "sigmoid": f"-log sigmoid(beta * margin): {SUMS}",
    "hinge": f"max(0, 1 - beta * margin): {SUMS}",
    "ipo": f"(margin - 1 / (2 * beta)) ** 2: {MEANS}",
    "tpo-l": f"-log sigmoid(beta * margin - tpo_l_gamma): {MEANS}",
}


def plan_tpo(plan: TrainerPlan) -> TpoScript:
    """Decide the options of TPO.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or the loss has no conversion.
    """
    config = plan.config
    loop = open_loop(plan, "TPO")
    loss_type = choice(plan, "loss_type", tuple(FORMULAS))
    config.exact("loss_type", f"{plan.names['loss']}()")
    number(plan, "beta")
    has_gold = not is_zero(plan, "tpo_alpha")
    smooths = loss_type in SMOOTHED and not is_zero(plan, "label_smoothing")
    carry(plan, "tpo_alpha", has_gold)
    carry(plan, "tpo_l_gamma", loss_type == "tpo-l")
    carry(plan, "label_smoothing", smooths)
    shared, epochs = loop_fields(plan, loop)
    return TpoScript(
        **shared,
        **epochs,
        rows=_rows(plan, loop.facts),
        loss_type=loss_type,
        divisor=loop.divisor,
        has_gold=has_gold,
        smooths=smooths,
        formula=FORMULAS[loss_type],
        template_options="chat_template_kwargs" in plan.ledger.facts.text,
    )


def _rows(plan: TrainerPlan, facts: Facts) -> RowsScript:
    """Decide how rows become tokens."""
    config = plan.config
    length = maximal_length(config, "max_length", None)
    kept = str(config.literal("truncation_mode"))
    config.exact("truncation_mode", f"{plan.names['tokenize']}()")
    columns = known_columns(plan.ledger)
    if "prompt" not in columns:
        notice_columns(plan.ledger, plan.names["tokenize"])
    return RowsScript(
        splits_prompt="prompt" not in columns,
        max_length=length,
        truncation=kept,
        completion_start=str(facts["tpo_completion_start"]),
    )


def _positional(version: str) -> tuple[str, ...]:
    return (
        *("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class"),
        *("compute_metrics", "callbacks", "optimizers", "peft_config"),
    )


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, TpoScript)
    finds_prefix = script.rows.completion_start == "common_prefix"
    return frozenset({"import torch"} | ({"import os"} if finds_prefix else set()))


TPO = TrainerKind(
    trainer="trl.TPOTrainer",
    config="trl.TPOConfig",
    short="tpo",
    headline="Triple preference optimization",
    calls_callbacks=True,
    positional=_positional,
    decided=DECIDED,
    roles=ROLES
    | {
        "tokenize": ("tokenize_triple", "tokens_of_triple"),
        "loss": ("preference_loss", "tpo_loss", "tpo_loss_on_mint"),
    },
    plan=plan_tpo,
    imports=_imports,
    evaluation_rows=evaluation_rows,
)

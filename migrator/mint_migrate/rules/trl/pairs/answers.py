"""Rule: pairs of answers become two sequences each, as ORPO and CPO make them."""

from __future__ import annotations

from mint_migrate.model.pairs_script import RowsScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.pairs.plan import Facts
from mint_migrate.rules.trl.pairs.rows import (
    DEFAULT_PROMPT_LENGTH,
    known_columns,
    maximal_length,
    notice_columns,
)
from mint_migrate.rules.trl.state import TrainerPlan

UNSET_LENGTH = "512"
"""What an unset `max_length` means."""
LENGTHS = frozenset({"max_length", "max_prompt_length", "truncation_mode"})
"""Options that `plan_answers` decides."""


def plan_answers(plan: TrainerPlan, facts: Facts) -> RowsScript:
    """Decide how rows with a chosen and a rejected answer become tokens."""
    ledger, config = plan.ledger, plan.config
    length = maximal_length(config, "max_length", UNSET_LENGTH)
    prompt_length, truncation = "", "keep_start"
    if facts["pairs_cut"] == "prompt_first":
        prompt_length = maximal_length(config, "max_prompt_length", DEFAULT_PROMPT_LENGTH)
        truncation = str(config.literal("truncation_mode"))
    tokenize = f"{plan.names['tokenize']}()"
    for name in ("max_prompt_length", "truncation_mode"):
        config.exact(name, tokenize if prompt_length else "nothing to do")
    columns = known_columns(ledger)
    converses = bool(facts["pairs_conversations"])
    if converses and "prompt" not in columns:
        notice_columns(ledger, plan.names["split_prompt"])
    return RowsScript(
        recent=False,
        conversations=converses,
        splits_prompt=converses and "prompt" not in columns,
        max_length=length,
        max_prompt_length=prompt_length,
        truncation=truncation,
        always_ends=bool(facts["pairs_always_ended"]),
        cut=str(facts["pairs_cut"]),
    )


def positional(version: str) -> tuple[str, ...]:
    """Return the names of the positional parameters of ORPO's and CPO's trainer."""
    return (
        *("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class"),
        *("model_init", "callbacks", "optimizers"),
    )


def imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    """Return what the functions need besides what every loop needs."""
    rows = getattr(script, "rows", None)
    renders = isinstance(rows, RowsScript) and rows.conversations
    return frozenset({"import torch"} | ({"import os"} if renders else set()))


def evaluation_rows(plan: TrainerPlan, script: LoopScript, tokenizer: str) -> str | None:
    """Return the expression of the rows that a later evaluation takes."""
    row = f"{plan.names['tokenize']}(row, {tokenizer}, {plan.config_name})"
    return f"[{row} for row in {{dataset}}]"

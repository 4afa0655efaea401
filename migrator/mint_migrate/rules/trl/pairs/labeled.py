"""Rule: rows with a label, or pairs of answers that become such rows, as KTO and BCO read them."""

from __future__ import annotations

from mint_migrate.model.pairs_script import BcoScript, KtoScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.pairs.rows import (
    ANSWERS,
    DEFAULT_PROMPT_LENGTH,
    LABELED,
    known_columns,
    maximal_length,
    notice_columns,
)
from mint_migrate.rules.trl.state import TrainerPlan


def plan_labels(plan: TrainerPlan, *, takes_pairs: bool) -> tuple[bool, bool, bool]:
    """Return whether pairs become rows with a label, prompts are split off, and if that is certain.

    In the order of `RowsScript`: `unpairs`, `splits_prompt`, `only_if_paired`.

    Args:
        plan: the trainer.
        takes_pairs: the release makes two rows of a pair.
    """
    columns = known_columns(plan.ledger)
    unpairs = takes_pairs and (bool(columns & ANSWERS) or not columns & LABELED)
    if takes_pairs and not columns & (ANSWERS | LABELED):
        notice_columns(plan.ledger, plan.names["label_rows"])
    return unpairs, unpairs and "prompt" not in columns, not columns & ANSWERS


def plan_prompt_cut(config: ConfigPlan, *, cuts: bool) -> tuple[str, str]:
    """Decide the options of a release that cuts prompts; return their length and the end kept.

    In the terms of `RowsScript`: `max_prompt_length`, `truncation`.
    """
    length, kept = "", "keep_start"
    if cuts:
        length = maximal_length(config, "max_prompt_length", DEFAULT_PROMPT_LENGTH)
        kept = str(config.literal("truncation_mode"))
    for name in ("max_prompt_length", "truncation_mode"):
        config.exact(name, "join_tokens()" if length else "nothing to do")
    return length, kept


def evaluation_rows(plan: TrainerPlan, script: LoopScript, tokenizer: str) -> str | None:
    """Return the expression of the rows of a later evaluation, None where it cannot be written."""
    assert isinstance(script, KtoScript | BcoScript)
    if script.reference != "base_model":
        return None
    base = plan.model.base_model
    return f"{plan.names['prepare_rows']}({{dataset}}, {tokenizer}, {plan.config_name}, {base})"

"""`KTOTrainer(...)` and its `.train()` become a loop with KTO's loss on the client.

Formulas: TRL v1.16.0, `trainer/kto_trainer.py`, and its older releases.
"""

from __future__ import annotations

from mint_migrate.model.pairs_script import KtoScript, RowsScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.labeled import evaluation_rows, plan_labels, plan_prompt_cut
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import Facts, Loop, choice, loop_fields, number, open_loop
from mint_migrate.rules.trl.pairs.reference import plan_reference
from mint_migrate.rules.trl.pairs.rows import maximal_length
from mint_migrate.rules.trl.pairs.shuffled import plan_shuffle
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.tables.versions import version_key

DECIDED = frozenset(
    {
        "loss_type",
        "beta",
        "desirable_weight",
        "undesirable_weight",
        "max_length",
        "max_prompt_length",
        "truncation_mode",
        "precompute_ref_log_probs",
        "precompute_ref_batch_size",
    }
)
LOSSES = ("kto", "apo_zero_unpaired")
KL_OF_PROCESSES = (
    "the KL estimate was the mean over the micro-batches of all processes; the result takes one "
    "for each micro-batch"
)
COLLATOR_FIRST = "1.6.0"
"""First release whose constructor takes the collator before the data sets."""


def plan_kto(plan: TrainerPlan) -> KtoScript:
    """Decide the options of KTO.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or the loss has no conversion.
    """
    config = plan.config
    loop = open_loop(plan, "KTO")
    facts = loop.facts
    loss_type = choice(plan, "loss_type", LOSSES) if _has_losses(plan) else "kto"
    config.exact("loss_type", f"{plan.names['loss']}()")
    number(plan, "beta")
    weights = (_weight(plan, "desirable_weight"), _weight(plan, "undesirable_weight"))
    for name in ("precompute_ref_log_probs", "precompute_ref_batch_size"):
        config.exact(name, "reference_logprobs()", "the reference is always asked before training")
    if plan.ledger.options.num_processes != 1 and loss_type == "kto":
        plan.ledger.differ(plan.trainer.found, "MM223", KL_OF_PROCESSES, plan.train_use.statement)
    shared, epochs = loop_fields(plan, loop)
    epochs["order"] = _order(plan, facts, loss_type)
    reference, handed = plan_reference(plan)
    return KtoScript(
        **shared,
        **epochs,
        handed=handed,
        rows=_rows(plan, facts),
        loss_type=loss_type,
        divisor=loop.divisor,
        reference=reference,
        shuffle_seed=plan_shuffle(plan, facts),
        mismatch=str(facts["kto_mismatch"]),
        mismatch_block=_block(loop),
        mismatch_joins_twice=facts["kto_mismatch_prompt"] == "cut",
        weights=weights,
    )


def _has_losses(plan: TrainerPlan) -> bool:
    return plan.config.has("loss_type") or plan.config.default("loss_type") is not None


def _weight(plan: TrainerPlan, name: str) -> str:
    """Return the expression of a weight; a default of 1 needs no field."""
    if not plan.config.has(name):
        return plan.config.default(name) or "1.0"
    plan.config.keep(name)
    return f"config.{name}"


def _order(plan: TrainerPlan, facts: Facts, loss_type: str) -> str:
    """Return the order of the rows: as they are, unless the option says otherwise."""
    config, name = plan.config, "train_sampling_strategy"
    if facts["kto_order"] == "sequential" or not config.has(name):
        return "sequential"
    value = str(config.literal(name))
    if value != "sequential" and loss_type == "kto":
        raise Blocked(
            "MM215",
            f"`{name}={value!r}` is refused by TRL with this loss, whose KL estimate needs the "
            "same batches in every epoch",
            config.arguments[name].found,
        )
    return value


def _block(loop: Loop) -> str:
    """Return the expression of the rows among which completions are exchanged."""
    whole_step = loop.facts["kto_mismatch_block"] == "step"
    if whole_step or not loop.windows.needs_micro_batches:
        return "config.batch_size"
    return "config.micro_batch_size"


def _rows(plan: TrainerPlan, facts: Facts) -> RowsScript:
    """Decide how rows become tokens."""
    config = plan.config
    tokenization = str(facts["kto_tokenization"])
    recent = tokenization in {"common_prefix", "prompt_length"}
    unset = facts["kto_unset_length"]
    length = maximal_length(config, "max_length", None if unset is None else str(unset))
    prompt_length, truncation = plan_prompt_cut(config, cuts=bool(facts["kto_cuts_prompt"]))
    takes_pairs = bool(facts["pairs_conversations"])
    unpairs, splits_prompt, only_if_paired = plan_labels(plan, takes_pairs=takes_pairs)
    return RowsScript(
        unpairs=unpairs,
        splits_prompt=splits_prompt,
        only_if_paired=only_if_paired,
        recent=recent,
        conversations=takes_pairs,
        tools=bool(facts["kto_template_tools"]),
        completion_start=tokenization if recent else "common_prefix",
        drops_long_prompts=bool(facts["kto_drops_long_prompts"]) and length != "",
        max_length=length,
        max_prompt_length=prompt_length,
        truncation=truncation,
        always_ends=tokenization == "text_always_ended",
    )


def _positional(version: str) -> tuple[str, ...]:
    if version_key(version) >= version_key(COLLATOR_FIRST):
        return (
            *("model", "ref_model", "args", "data_collator", "train_dataset", "eval_dataset"),
            *("processing_class", "compute_metrics", "callbacks", "optimizers"),
        )
    return (
        *("model", "ref_model", "args", "train_dataset", "eval_dataset", "processing_class"),
        *("data_collator", "model_init", "callbacks", "optimizers"),
    )


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, KtoScript)
    finds_prefix = script.rows.recent and script.rows.completion_start == "common_prefix"
    renders = script.rows.conversations and not script.rows.recent
    return frozenset({"import torch"} | ({"import os"} if finds_prefix or renders else set()))


KTO = TrainerKind(
    trainer="trl.KTOTrainer",
    config="trl.KTOConfig",
    short="kto",
    headline="Kahneman-Tversky optimization",
    calls_callbacks=True,
    positional=_positional,
    decided=DECIDED,
    roles=ROLES | {"loss": ("kto_loss", "kahneman_tversky_loss", "kto_loss_on_mint")},
    plan=plan_kto,
    imports=_imports,
    evaluation_rows=evaluation_rows,
)

"""Options of `DPOTrainer` that older releases took in the constructor, and their defaults."""

from __future__ import annotations

import ast

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.tables.versions import version_key

OLD_ORDER = (
    "model",
    "ref_model",
    "beta",
    "label_smoothing",
    "loss_type",
    "args",
    "data_collator",
    "label_pad_token_id",
    "padding_value",
    "truncation_mode",
    "train_dataset",
    "eval_dataset",
    "processing_class",
    "model_init",
    "callbacks",
    "optimizers",
    "preprocess_logits_for_metrics",
    "max_length",
    "max_prompt_length",
    "max_target_length",
    "peft_config",
    "is_encoder_decoder",
    "disable_dropout",
    "generate_during_eval",
    "compute_metrics",
    "precompute_ref_log_probs",
    "dataset_num_proc",
    "model_init_kwargs",
    "ref_model_init_kwargs",
    "model_adapter_name",
    "ref_adapter_name",
    "reference_free",
    "force_use_ref_model",
)
BEGINNING = (
    "model",
    "ref_model",
    "args",
    "data_collator",
    "train_dataset",
    "eval_dataset",
    "processing_class",
)
ADOPTED = (
    "beta",
    "label_smoothing",
    "loss_type",
    "truncation_mode",
    "max_length",
    "max_prompt_length",
    "precompute_ref_log_probs",
    "reference_free",
)
"""What moved from the trainer to its configuration and has a meaning here."""


def positional(version: str) -> tuple[str, ...]:
    """Return the constructor's parameters in their order in a release of TRL."""
    release = version_key(version)
    if release < version_key("0.13.0"):
        return OLD_ORDER
    if release < version_key("0.19.0"):
        return (*BEGINNING, "model_init", "compute_metrics", "callbacks", "optimizers")
    return (*BEGINNING, "compute_metrics", "callbacks", "optimizers")


def adopted(version: str) -> tuple[str, ...]:
    """Return the options that a release takes in the constructor."""
    return ADOPTED if version_key(version) < version_key("0.13.0") else ()


def check_given_once(plan: TrainerPlan) -> None:
    """An option is given to the trainer or to its configuration.

    Raises:
        Blocked: it is given to both, and which one counts depends on its value.
    """
    for name in ADOPTED:
        argument = plan.arguments.get(name)
        if argument is not None and plan.config.arguments.get(name) is not argument:
            raise Blocked(
                "MM291",
                f"`{name}` is given to the trainer and to its configuration; give it once",
                argument.found,
            )


def default(plan: TrainerPlan, name: str) -> str | None:
    """Return the default of an option in the script's release, as a literal."""
    found = plan.config.default(name)
    if found is not None:
        return found
    version = plan.ledger.version
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.{name}", version)
    return None if row is None else row.default_in(version)


def literal(plan: TrainerPlan, name: str) -> object:
    """Return the value of an option that decides what the loop looks like, given or default.

    Raises:
        Blocked: it is given as an expression.
    """
    if plan.config.has(name):
        return plan.config.literal(name)
    value = default(plan, name)
    return None if value is None else ast.literal_eval(value)


def need(plan: TrainerPlan, name: str) -> str:
    """Put an option into the namespace, given or at its default; return how the loop reads it."""
    config = plan.config
    if config.has(name):
        config.keep(name)
    elif name not in config.fields:
        config.need(name, default(plan, name))
    return f"config.{name}"


def is_given(plan: TrainerPlan, name: str) -> bool:
    """Say whether the script gives an option as something other than None."""
    argument = plan.config.arguments.get(name)
    return argument is not None and argument.value.literal != "None"

"""Rule: `get_peft_config(model_args)` becomes a rank that is known when the script runs."""

from __future__ import annotations

from mint_migrate.model.facts import Call, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger, argument_named, positional_argument
from mint_migrate.rules.trl.model_plan import FULL_FINETUNING_RANK, ModelPlan

FUNCTION = "trl.get_peft_config"
OPTIONS = "trl.ModelConfig"


def plan_option_lora(ledger: Ledger, plan: ModelPlan, call: Call, place: Span) -> None:
    """Read rank and use of LoRA from options.

    Raises:
        Blocked: the function is called without a variable that holds them.
    """
    argument = argument_named(call, "model_args") or positional_argument(call, 0)
    if argument is None or argument.value.name is None:
        raise Blocked("MM230", "`get_peft_config` is called without a name", call.found)
    holder: Value = argument.value
    ledger.read_options |= {(OPTIONS, "use_peft"), (OPTIONS, "lora_r")}
    plan.is_lora = True
    plan.rank = f"{holder.text}.lora_r if {holder.text}.use_peft else {FULL_FINETUNING_RANK}"
    ledger.exact(argument.found, None, "create_lora_training_client(rank=...)")
    note = (
        "the rank is `lora_r`; without `use_peft` all weights were trained, and MinT trains an "
        f"adapter of rank {FULL_FINETUNING_RANK}"
    )
    scale = "the server scales adapters by 32 / rank, whatever `lora_alpha` says"
    targets = (
        "attention and MLP projections are adapted; without `lora_target_modules` the original "
        "adapted peft's default, q_proj and v_proj in most models"
    )
    ledger.decide(
        call.found,
        Fidelity.APPROXIMATE,
        row=ledger.tables.row(call.qualified),
        code="MM204",
        target="create_lora_training_client(rank=...)",
        note=f"{note}; {scale}; {targets}",
    )
    for code, sentence in (("MM204", note), ("MM205", scale), ("MM206", targets)):
        ledger.differ(call.found, code, sentence, place)

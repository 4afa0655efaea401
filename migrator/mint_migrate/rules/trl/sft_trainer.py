"""Rule: `SFTTrainer(...)` and its `.train()` become `train(...)`, a visible loop.

Finds: one construction of `trl.SFTTrainer` bound to a name, and one call of its `train` in the same
scope. Writes: the functions of `templates/sft.py.j2`, a `SimpleNamespace` where the configuration
stood, one call of `train`.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.facts import Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import Names, SftScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.names import check_free
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.sft_arguments import (
    adopt_old_arguments,
    bind_arguments,
    find_config,
    find_training,
)
from mint_migrate.rules.trl.sft_checks import (
    check_config_uses,
    check_evaluation_rows,
    check_unchanged,
    read_elsewhere,
)
from mint_migrate.rules.trl.sft_config import factor, open_config, plan_batch, plan_plain_fields
from mint_migrate.rules.trl.sft_data import plan_data
from mint_migrate.rules.trl.sft_decisions import decide_trainer, plan_uses
from mint_migrate.rules.trl.sft_loop import plan_loop
from mint_migrate.rules.trl.sft_lora import plan_lora
from mint_migrate.rules.trl.sft_model import finish_model, plan_model
from mint_migrate.rules.trl.sft_plan import SftPlan
from mint_migrate.rules.trl.sft_windows import plan_windows
from mint_migrate.rules.trl.sft_write import needed_imports, place_config, write_call

LORA_LR_RATIO = 10
"""Rule of thumb for the learning rate of an adapter over that of full fine-tuning."""


def plan_sft(ledger: Ledger, trainer: Call, names: Names) -> tuple[SftScript, frozenset[str]]:
    """Plan one `SFTTrainer`; return the script's functions and the imports they need.

    Raises:
        Blocked: the trainer cannot be converted; nothing the ledger holds may be used then.
    """
    arguments = bind_arguments(ledger, trainer)
    train_use = find_training(ledger, trainer)
    config_call, config_value = find_config(ledger, trainer, arguments)
    config = open_config(ledger, config_call, train_use.statement)
    adopt_old_arguments(config, arguments)
    model_argument = arguments.get("model")
    if model_argument is None:
        raise Blocked("MM230", "`SFTTrainer` is built without a model", trainer.found)
    model = plan_model(ledger, model_argument.value, trainer.scope, trainer.statement)
    peft = arguments.get("peft_config")
    plan_lora(ledger, model, peft.value if peft else None, trainer, train_use.statement)
    finish_model(ledger, model)
    plan = SftPlan(
        ledger=ledger,
        trainer=trainer,
        arguments=arguments,
        names=names,
        train_use=train_use,
        config=config,
        model=model,
    )
    check_unchanged(plan)
    check_evaluation_rows(plan)
    script = _plan_script(plan)
    check_config_uses(plan)
    place_config(plan, config_call, config_value)
    decide_trainer(plan, script)
    if plan_uses(plan, script):
        script = replace(script, evaluates_later=True)
    write_call(plan, script)
    needed = needed_imports(script)
    check_free(ledger, trainer.scope, needed)
    return script, needed


def _plan_script(plan: SftPlan) -> SftScript:
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    windows = plan_windows(config, facts)
    plan_plain_fields(config, read_elsewhere(plan))
    _scale_learning_rate(plan)
    plan_batch(config, windows.needs_micro_batches)
    config.need("output_dir", _default_output(plan))
    config.need("learning_rate")
    data = plan_data(ledger, config, plan.arguments, facts)
    plan_optimizer(config)
    schedule = plan_schedule(config)
    return plan_loop(
        config,
        names=plan.names,
        data=data,
        schedule=schedule,
        arguments=plan.arguments,
        lora_options=plan.model.options,
        train_use=plan.train_use,
        windows=windows,
        facts=facts,
    )


def _default_output(plan: SftPlan) -> str:
    if plan.config.call is not None:
        return '"trainer_output"'
    name = plan.model.base_model.strip("\"'").rsplit("/", 1)[-1]
    return (
        f'"{name}-SFT"' if name.replace("-", "").replace(".", "").isalnum() else '"trainer_output"'
    )


def _scale_learning_rate(plan: SftPlan) -> None:
    """Full fine-tuning becomes LoRA: keep the learning rate with a note, or scale it if asked."""
    if plan.model.is_lora:
        return
    ledger, config = plan.ledger, plan.config
    text = config.text("learning_rate") or config.default("learning_rate") or "2e-5"
    if ledger.options.scale_lr:
        config.put(
            "learning_rate",
            f"{LORA_LR_RATIO} * {factor(text)}",
            trailing="# full fine-tuning used a tenth",
        )
        note = f"scaled by {LORA_LR_RATIO} for LoRA, as asked with --scale-lr"
    else:
        note = (
            f"kept from full fine-tuning; LoRA usually needs about {LORA_LR_RATIO} times as much "
            "(--scale-lr writes that)"
        )
    argument = config.arguments.get("learning_rate")
    found = argument.found if argument is not None else plan.trainer.found
    if argument is not None:
        ledger.decisions.pop(argument.found, None)
        config.decide("learning_rate", Fidelity.APPROXIMATE, "MM210", "config.learning_rate", note)
    ledger.differ(found, "MM210", f"the learning rate is {note}", config.place)

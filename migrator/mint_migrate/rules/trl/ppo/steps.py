"""Rule: PPO driven step by step. The user's loop stays; the trainer becomes a class of methods.

Releases before 0.12. Finds: one construction of `PPOTrainer`, whatever calls `generate`, `step` and
`log_stats` on it. Writes: the class, a `SimpleNamespace` where the configuration stood, and the
construction of the class. What is kept of the trainer's surface is listed in `step_uses.KEPT`.
"""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.ppo_script import PpoStepsScript
from mint_migrate.model.script import Names, TrainingScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.names import check_free
from mint_migrate.rules.trl.arguments import bind_arguments, find_config
from mint_migrate.rules.trl.checks import check_config_uses
from mint_migrate.rules.trl.config import open_config
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.lora import plan_lora
from mint_migrate.rules.trl.model import finish_model, plan_model
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.ppo.critic import CHANGED, decide_critic
from mint_migrate.rules.trl.ppo.helpers import answers_batches, plan_helpers
from mint_migrate.rules.trl.ppo.step_config import plan_step_config
from mint_migrate.rules.trl.ppo.step_optimizer import plan_step_optimizer
from mint_migrate.rules.trl.ppo.step_uses import accelerator_text, plan_step_uses
from mint_migrate.rules.trl.state import BuiltTrainer
from mint_migrate.rules.trl.write import argument_lines, place_config

IMPORTS = (
    "import json",
    "import random",
    "from pathlib import Path",
    "from types import SimpleNamespace",
    "import mint",
    "import numpy as np",
    "import torch",
    "from mint import types",
)


def plan_steps(
    ledger: Ledger, kind: TrainerKind, trainer: Call, names: Names
) -> tuple[TrainingScript, frozenset[str]]:
    """Plan one trainer whose loop is the user's.

    Raises:
        Blocked: it cannot be converted; nothing the ledger holds may be used then.
    """
    arguments = bind_arguments(ledger, kind, trainer)
    kind.check(ledger, trainer, arguments)
    _check_built_once(ledger, trainer)
    config_call, config_value = find_config(ledger, kind, trainer, arguments)
    config = open_config(ledger, kind.config, config_call, trainer.statement)
    for name in ("model", "processing_class"):
        if name not in arguments:
            raise Blocked("MM230", f"`PPOTrainer` is built without `{name}`", trainer.found)
    model = plan_model(ledger, arguments["model"].value, trainer.scope, trainer.statement)
    _plan_peft(ledger, trainer, model)
    finish_model(ledger, model)
    plan = BuiltTrainer(
        ledger=ledger,
        kind=kind,
        trainer=trainer,
        arguments=arguments,
        names=names,
        config=config,
        model=model,
    )
    reference = _reference(plan)
    settings = plan_step_config(plan)
    optimizer = plan_step_optimizer(plan)
    check_config_uses(plan)
    place_config(plan, config_call, config_value)
    _decide_trainer(plan)
    uses = [use for use in ledger.facts.uses if use.call == trainer.number]
    chains = {use.chain for use in uses}
    script = PpoStepsScript(
        names=names,
        lora_options=model.options,
        dataset=plan.given("dataset") is not None,
        collator=plan.given("data_collator") is not None,
        reference=bool(reference),
        generates="generate" in chains or answers_batches(ledger, trainer),
        samples_reference=any(_asks_for_reference(use) for use in uses),
        logs="log_stats" in chains,
        saves=bool(chains & {"save_pretrained", "model.save_pretrained"}),
        device="current_device" in chains,
        accelerator=accelerator_text(chains),
        **settings,
        **optimizer,
    )
    plan_step_uses(plan, uses)
    if script.dataset:
        ledger.notices.append(
            "MM215: the first epoch has the original's order; the original drew later ones from "
            "the random state that its sampling had advanced"
        )
    helpers = plan_helpers(ledger, trainer)
    _write(plan, script, reference)
    needed = _imports(script) | helpers
    check_free(ledger, trainer.scope, needed)
    return script, needed


def _plan_peft(ledger: Ledger, trainer: Call, model: ModelPlan) -> None:
    peft = model.peft
    value = None
    if peft is not None:
        ledger.exact(peft.found, None, "create_lora_training_client(rank=...)")
        value = peft.value
    place = next((call for call in model.calls if peft in call.arguments), trainer)
    plan_lora(ledger, model, value, place, trainer.statement)


def _check_built_once(ledger: Ledger, trainer: Call) -> None:
    if trainer.target is None or not trainer.is_statement:
        raise Blocked("MM238", "the trainer is not bound to a name", trainer.found)
    places = [
        call
        for call in ledger.facts.calls
        if call.target == trainer.target
        and call.scope == trainer.scope
        and call.qualified == trainer.qualified
    ]
    if len(places) > 1:
        raise Blocked(
            "MM238", f"`{trainer.target}` is built in {len(places)} places", trainer.found
        )


def _asks_for_reference(use: Use) -> bool:
    return any(item.keyword == "generate_ref_response" for item in use.arguments)


def _reference(plan: BuiltTrainer) -> str:
    """Return the name of the reference's base model where it is another one than the policy's."""
    ledger, argument = plan.ledger, plan.given("ref_model")
    if argument is None:
        return ""
    row = ledger.tables.row("trl.PPOTrainer.ref_model", ledger.version)
    target = "create_sampling_client(base_model=...)"
    made = _copy_of_model(ledger, argument, plan.trainer)
    if made is not None:
        _decide_copy(plan, made)
        ledger.exact(argument.found, row, target)
        return ""
    other = plan_model(ledger, argument.value, plan.trainer.scope, plan.trainer.statement)
    if other.peft is not None:
        raise Blocked("MM248", "the reference has an adapter of its own", argument.found)
    finish_model(ledger, other)
    ledger.exact(argument.found, row, target)
    return "" if other.base_model == plan.model.base_model else other.base_model


def _copy_of_model(ledger: Ledger, argument: Argument, trainer: Call) -> Call | None:
    number, value = argument.value.call, argument.value
    if number is None and value.name is not None:
        binding = ledger.binding_of(value.name, trainer.scope, trainer.statement)
        number = binding.value.call if binding is not None and binding.value is not None else None
    call = ledger.call_of(number) if number is not None else None
    if call is None or not call.qualified.endswith(".create_reference_model"):
        return None
    return call


def _decide_copy(plan: BuiltTrainer, call: Call) -> None:
    ledger = plan.ledger
    row = ledger.tables.row(call.qualified)
    if len(call.arguments) > 1:
        raise Blocked(
            "MM248",
            "`create_reference_model` shares and freezes layers here; MinT trains all of them",
            call.found,
        )
    ledger.exact(call.found, row, "create_sampling_client(base_model=...)")
    for argument in call.arguments:
        ledger.exact(argument.found, row, "create_sampling_client(base_model=...)")
    if call.is_statement and call.target is not None:
        ledger.remove_statement(call.statement)
        ledger.removed[(call.target, call.scope)] = "MM228"


def _decide_trainer(plan: BuiltTrainer) -> None:
    ledger, trainer = plan.ledger, plan.trainer
    decide_critic(plan, trainer.statement)
    if not plan.model.is_lora:
        note = (
            f"all weights were trained; MinT trains a LoRA adapter, here of rank {plan.model.rank}"
        )
        ledger.differ(trainer.found, "MM204", note, trainer.statement)
    name = plan.names["policy_trainer"]
    ledger.decide(
        trainer.found,
        Fidelity.APPROXIMATE,
        row=ledger.tables.row(trainer.qualified, ledger.version),
        code="MM259",
        target=f"{name}(...)",
        note=CHANGED,
    )
    targets = {
        "args": plan.config_name,
        "model": "create_lora_training_client(base_model=...)",
        "processing_class": f"{name}(tokenizer=...)",
        "dataset": f"{name}(dataset=...)",
        "data_collator": f"{name}(data_collator=...)",
        "ref_model": "create_sampling_client(base_model=...)",
    }
    for argument_name, argument in plan.arguments.items():
        if argument.found in ledger.decisions:
            continue
        row = ledger.tables.row(f"trl.PPOTrainer.{argument_name}", ledger.version)
        if argument_name in targets:
            ledger.exact(argument.found, row, targets[argument_name])
        elif argument_name == "lr_scheduler" and argument.value.literal != "None":
            raise Blocked(
                "MM212", "a scheduler object cannot be read; leave it out", argument.found
            )
        elif ledger.by_row(argument, row) is Fidelity.MANUAL:
            note = ledger.decisions[argument.found].note
            ledger.mark(trainer.statement, ledger.decisions[argument.found].code or "", note)


def _write(plan: BuiltTrainer, script: PpoStepsScript, reference: str) -> None:
    arguments = plan.arguments
    lines = [
        f"{plan.trainer.target} = {plan.names['policy_trainer']}(",
        f"    {plan.config_name},",
        f"    base_model={plan.model.base_model},",
        f"    rank={plan.model.rank},",
        *argument_lines("tokenizer", arguments["processing_class"]),
    ]
    if script.dataset:
        lines += argument_lines("dataset", arguments["dataset"])
    if script.collator:
        lines += argument_lines("data_collator", arguments["data_collator"])
    if reference:
        lines.append(f"    reference_model={reference},")
    text = plan.config_text + "\n".join([*lines, ")"])
    plan.ledger.replace_statement(plan.trainer.statement, text)


def _imports(script: PpoStepsScript) -> frozenset[str]:
    needed: set[str] = set(IMPORTS)
    if script.dataset:
        needed.add("from torch.utils.data import DataLoader")
    if script.scales_scores:
        needed.add("import math")
    if script.tracker == "wandb":
        needed.add("import wandb")
    if script.tracker == "tensorboard":
        needed.add("from torch.utils.tensorboard import SummaryWriter")
    return frozenset(needed)

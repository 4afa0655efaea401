"""Rule: `SFTTrainer(...)` and its `.train()` become `train(...)`, a visible loop.

Finds: one construction of `trl.SFTTrainer` bound to a name, and one call of its `train` in the same
scope. Writes: the functions of `templates/sft.py.j2`, a `SimpleNamespace` where the configuration
stood, one call of `train`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mint_migrate.model.facts import Argument, Call, Use, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import Names, SftScript
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger, contains
from mint_migrate.rules.names import check_free
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.sft_config import (
    CONFIG_CLASSES,
    ConfigPlan,
    factor,
    namespace,
    open_config,
    plan_batch,
    plan_plain_fields,
)
from mint_migrate.rules.trl.sft_data import decide_formatting, plan_data
from mint_migrate.rules.trl.sft_loop import plan_loop
from mint_migrate.rules.trl.sft_model import ModelPlan, finish_model, plan_lora, plan_model
from mint_migrate.rules.trl.sft_uses import AfterTraining, decide_argument, plan_use

TRAINER = "trl.SFTTrainer"
POSITIONAL = ("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class")
LORA_LR_RATIO = 10
"""Rule of thumb for the learning rate of an adapter over that of full fine-tuning."""


@dataclass(slots=True)
class SftPlan:
    """One trainer, while it is planned."""

    ledger: Ledger
    trainer: Call
    arguments: dict[str, Argument]
    names: Names
    train_use: Use
    config: ConfigPlan
    model: ModelPlan
    config_name: str = ""
    broken_config: Span | None = None
    """A statement that needs more of the configuration than the namespace has."""
    config_text: str = ""
    """Statement that makes the configuration just before training, where it had none of its own."""


def plan_sft(ledger: Ledger, trainer: Call, names: Names) -> tuple[SftScript, frozenset[str]]:
    """Plan the conversion of one `SFTTrainer`; return the script's functions and the imports they
    need.

    Raises:
        Blocked: the trainer cannot be converted; nothing the ledger holds may be used then.
    """
    arguments = _bind(ledger, trainer)
    train_use = _train_use(ledger, trainer)
    config_call, config_value = _config_call(ledger, trainer, arguments)
    config = open_config(ledger, config_call, train_use.statement)
    _old_config_arguments(config, arguments)
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
    _check_unchanged(plan)
    _check_evaluation_rows(plan)
    script = _plan_script(plan)
    _check_config_uses(plan)
    _place_config(plan, config_call, config_value)
    _decide_trainer(plan, script)
    if _plan_uses(plan, script):
        script = replace(script, evaluates_later=True)
    _write_call(plan, script)
    needed = _imports(script)
    check_free(ledger, trainer.scope, needed)
    return script, needed


def _bind(ledger: Ledger, trainer: Call) -> dict[str, Argument]:
    """Return the arguments by name, positional ones included."""
    arguments: dict[str, Argument] = {}
    for argument in trainer.arguments:
        if argument.star:
            raise Blocked(
                "MM291",
                f"`{argument.found.source_text}` hides what the trainer is given; write it "
                "out as keywords",
                argument.found,
            )
        ledger.check_splat(trainer, argument)
        name = argument.keyword
        if name is None:
            if argument.index >= len(POSITIONAL):
                raise Blocked("MM291", "too many positional arguments; name them", argument.found)
            name = POSITIONAL[argument.index]
        name = "processing_class" if name == "tokenizer" else name
        if name in arguments:
            raise Blocked("MM291", f"`{name}` is given twice", argument.found)
        arguments[name] = argument
    return arguments


def _train_use(ledger: Ledger, trainer: Call) -> Use:
    if trainer.target is None:
        raise Blocked("MM238", "the trainer is not bound to a name", trainer.found)
    is_global = ledger.owner_of(trainer.target, trainer.scope) != trainer.scope
    if is_global and not trainer.target.startswith("self."):
        raise Blocked(
            "MM238", f"`{trainer.target}` is a global variable of another scope", trainer.found
        )
    places = [
        call
        for call in ledger.facts.calls
        if call.target == trainer.target
        and call.scope == trainer.scope
        and ledger.tables.canonical(call.qualified) == TRAINER
    ]
    if len(places) > 1:
        raise Blocked(
            "MM238",
            f"`{trainer.target}` is built in {len(places)} places; build it once, with "
            "`peft_config` in a variable",
            trainer.found,
        )
    uses = [use for use in ledger.uses_of(trainer) if use.chain == "train" and use.is_call]
    if len(uses) != 1:
        found = "never trained here" if not uses else f"trained {len(uses)} times"
        raise Blocked(
            "MM238",
            f"`{trainer.target}` is {found}; one `train()` beside it is converted",
            trainer.found,
        )
    use = uses[0]
    if use.scope != trainer.scope:
        raise Blocked(
            "MM238", "the trainer is built in one function and trained in another", trainer.found
        )
    if not use.is_statement:
        raise Blocked("MM238", "`train()` stands inside an expression", use.found)
    if not _is_reached(ledger, trainer.statement, use.statement):
        raise Blocked(
            "MM238", "`train()` is called where the trainer may not have been built", use.found
        )
    return use


def _is_reached(ledger: Ledger, built: Span, trained: Span) -> bool:
    return built < trained and any(item.span == built for item in ledger.facts.statements)


def _config_call(
    ledger: Ledger, trainer: Call, arguments: dict[str, Argument]
) -> tuple[Call | None, Value | None]:
    """Find the configuration the trainer is given: inline, through a name, or absent."""
    argument = arguments.get("args")
    if argument is None or argument.value.literal == "None":
        return None, None
    value = argument.value
    if value.call is None and value.name is not None:
        binding = ledger.binding_of(value.name, trainer.scope, trainer.statement)
        value = binding.value if binding is not None and binding.value is not None else value
    call = ledger.returned_call(value) if value.call is None else ledger.call_of(value.call)
    if call is None:
        raise Blocked(
            "MM292",
            f"where the configuration `{argument.value.text}` is made cannot be seen",
            argument.found,
        )
    canonical = ledger.tables.canonical(call.qualified)
    if canonical not in CONFIG_CLASSES:
        raise Blocked(
            "MM292", f"`{canonical}` is not a configuration of `SFTTrainer`", argument.found
        )
    return call, argument.value


def _old_config_arguments(config: ConfigPlan, arguments: dict[str, Argument]) -> None:
    """Options that once belonged to the trainer and now to its configuration; the configuration
    wins.
    """
    for name in ("max_seq_length", "dataset_text_field"):
        if name not in arguments:
            continue
        _check_known(config, arguments[name])
        if not config.has(name):
            config.arguments[name] = arguments[name]


def _check_known(config: ConfigPlan, argument: Argument) -> None:
    """What moves from the trainer to its configuration must mean the same there."""
    late = [
        item.name
        for item in config.ledger.facts.bindings
        if item.name in argument.value.loads
        and config.place < item.statement < argument.found.span
        and item.kind != "parameter"
    ]
    if late:
        raise Blocked(
            "MM238", f"`{late[0]}` is set between the configuration and the trainer", argument.found
        )


def _check_unchanged(plan: SftPlan) -> None:
    """Arguments are evaluated where training starts: what they read may not change before."""
    ledger, trainer = plan.ledger, plan.trainer
    since = {
        (name, ledger.owner_of(name, trainer.scope)): trainer.statement
        for argument in plan.arguments.values()
        for name in argument.value.loads
    }
    for name, scope, place in plan.model.loads:
        owner = ledger.owner_of(name, scope)
        if owner != ledger.owner_of(name, trainer.scope):
            raise Blocked(
                "MM230",
                f"the model is loaded where `{name}` is known and trained where it is not",
                trainer.found,
            )
        since.setdefault((name, owner), place)
        since[(name, owner)] = min(since[(name, owner)], place)
    for binding in ledger.facts.bindings:
        start = since.get((binding.name, binding.scope))
        if start is not None and start < binding.statement < plan.train_use.statement:
            raise Blocked(
                "MM238",
                f"`{binding.name}` changes between its use for the trainer and `train()`",
                trainer.found,
            )


def _check_evaluation_rows(plan: SftPlan) -> None:
    argument = plan.arguments.get("eval_dataset")
    if argument is None:
        return
    text = argument.value.text
    if argument.value.name is not None:
        binding = plan.ledger.binding_of(
            argument.value.name, plan.trainer.scope, plan.trainer.statement
        )
        text = binding.value.text if binding is not None and binding.value is not None else text
    if text.startswith(("{", "dict(")):
        raise Blocked(
            "MM233",
            "a dictionary of evaluation data sets is evaluated part by part, which is not "
            "converted",
            argument.found,
        )


def _plan_script(plan: SftPlan) -> SftScript:
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    micro_batches = facts["accumulation"] == "mean_of_micro_batches" and config.has(
        "gradient_accumulation_steps"
    )
    plan_plain_fields(config, _read_elsewhere(plan))
    _scale_learning_rate(plan)
    plan_batch(config, micro_batches)
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
        micro_batches=micro_batches,
        facts=facts,
    )


def _default_output(plan: SftPlan) -> str:
    if plan.config.call is not None:
        return '"trainer_output"'
    name = plan.model.base_model.strip("\"'").rsplit("/", 1)[-1]
    return (
        f'"{name}-SFT"' if name.replace("-", "").replace(".", "").isalnum() else '"trainer_output"'
    )


def _read_elsewhere(plan: SftPlan) -> frozenset[str]:
    name = _config_variable(plan)
    return frozenset(attr for owner, attr in plan.ledger.facts.attributes_read if owner == name)


def _check_config_uses(plan: SftPlan) -> None:
    """What the user's code reads of the configuration must be in the namespace, or be for a person.

    Raises:
        Blocked: a field that the loop does not read under its own name is assigned after
        construction.
    """
    ledger, config, name = plan.ledger, plan.config, _config_variable(plan)
    if name is None:
        return
    for owner, attribute in ledger.facts.attributes_written:
        if owner == name and attribute not in config.fields:
            raise Blocked("MM292", f"`{name}.{attribute}` is set after the configuration was made")
    for attribute in sorted(_read_elsewhere(plan) - set(config.fields)):
        default = config.default(attribute)
        if default is not None:
            config.put(attribute, config.text(attribute) or default)
            continue
        for statement in ledger.facts.statements:
            is_user = not statement.is_compound and statement.span not in ledger.edits
            if is_user and f"{name}.{attribute}" in ledger.text_of(statement.span):
                ledger.mark_broken(statement.span, "MM230", f"the namespace has no `{attribute}`")
                plan.broken_config = statement.span


def _config_variable(plan: SftPlan) -> str | None:
    argument = plan.arguments.get("args")
    return argument.value.name if argument is not None else None


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


def _place_config(plan: SftPlan, call: Call | None, value: Value | None) -> None:
    """Write the namespace where the configuration stood, or just before training."""
    ledger = plan.ledger
    text = namespace(plan.config, ledger.version)
    if call is not None:
        target = f"{call.target} = SimpleNamespace(...)" if call.target else "SimpleNamespace(...)"
        ledger.exact(call.found, ledger.tables.row(call.qualified), target)
        if plan.broken_config is not None and call.target is not None:
            ledger.needs_person(call.target, call.scope, plan.broken_config, "MM230")
    if call is not None and call.is_statement and call.target is not None:
        ledger.replace_statement(call.statement, _assignment(ledger, call, text))
        plan.config_name = value.text if value is not None else call.target
        _drop_splatted(plan, call)
        return
    if call is not None and value is not None and value.call is None:
        ledger.replace_expression(call.found.span, text)
        if value.name is not None:
            plan.config_name = value.text
            return
        text = value.text
    taken = {name for scope in ledger.facts.scopes for name in scope.names}
    plan.config_name = next(
        name for name in ("config", "training_config", "sft_config") if name not in taken
    )
    plan.config_text = f"{plan.config_name} = {text}\n"
    if call is not None:
        _drop_splatted(plan, call)


def _assignment(ledger: Ledger, call: Call, text: str) -> str:
    """Return the assignment, annotated names losing their annotation."""
    return f"{call.target} = {text}"


def _drop_splatted(plan: SftPlan, call: Call) -> None:
    """A dictionary that only fed the configuration goes with it."""
    ledger = plan.ledger
    for name in sorted({item.splat for item in call.arguments if item.splat is not None}):
        readers = [
            item
            for item in ledger.facts.statements
            if name in item.loads and not contains(item.span, call.statement)
        ]
        binding = ledger.binding_of(name, call.scope, call.statement)
        if not readers and binding is not None:
            ledger.remove_statement(binding.statement)


def _decide_trainer(plan: SftPlan, script: SftScript) -> None:
    """Decide the trainer's call and each of its arguments."""
    ledger, trainer = plan.ledger, plan.trainer
    row = ledger.tables.row(trainer.qualified)
    if plan.model.is_lora:
        ledger.exact(trainer.found, row, f"{plan.names.train}()")
    else:
        note = (
            f"all weights were trained; MinT trains a LoRA adapter, here of rank {plan.model.rank}"
        )
        ledger.decide(
            trainer.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM204",
            target=f"{plan.names.train}()",
            note=note,
        )
        ledger.differ(trainer.found, "MM204", note, plan.train_use.statement)
    _drop_splatted(plan, trainer)
    targets = {
        "model": "create_lora_training_client(base_model=...)",
        "args": plan.config_name,
        "train_dataset": f"{plan.names.train}(train_dataset=...)",
        "eval_dataset": f"{plan.names.train}(eval_dataset=...)"
        if script.eval_dataset
        else "nothing to do: no evaluation is asked for while training",
        "processing_class": f"{plan.names.train}(tokenizer=...)",
        "peft_config": "create_lora_training_client(rank=...)",
    }
    for name, argument in plan.arguments.items():
        if argument.found in ledger.decisions:
            continue
        if name in targets:
            ledger.exact(
                argument.found,
                ledger.tables.row(f"{TRAINER}.{name}", ledger.version),
                targets[name],
            )
        elif name == "formatting_func":
            decide_formatting(ledger, argument, script.data.batched_formatting)
        else:
            _decide_other(plan, name, argument)


def _decide_other(plan: SftPlan, name: str, argument: Argument) -> None:
    ledger = plan.ledger
    if name == "data_collator" and _is_plain_collator(plan, argument):
        ledger.exact(
            argument.found,
            ledger.tables.row(f"{TRAINER}.{name}"),
            "tokenize_row()",
            "the default collation",
        )
        return
    row = ledger.tables.row(f"{TRAINER}.{name}", ledger.version) or ledger.tables.row(
        f"{TRAINER}.{name}"
    )
    fidelity = ledger.by_row(argument, row)
    decision = ledger.decisions[argument.found]
    if fidelity is Fidelity.MANUAL:
        ledger.mark(
            plan.train_use.statement,
            decision.code or "MM230",
            f"`{_short(argument)}`: {decision.note}",
        )
    elif fidelity is Fidelity.APPROXIMATE:
        ledger.differ(argument.found, decision.code or "", decision.note, plan.train_use.statement)


def _short(argument: Argument) -> str:
    text = " ".join(argument.found.source_text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_plain_collator(plan: SftPlan, argument: Argument) -> bool:
    """Say whether the collator only shifts and pads: the one for language models, `mlm=False`."""
    ledger = plan.ledger
    number = argument.value.call
    if number is None and argument.value.name is not None:
        binding = ledger.binding_of(argument.value.name, plan.trainer.scope, plan.trainer.statement)
        number = binding.value.call if binding is not None and binding.value is not None else None
    if number is None:
        return False
    call = ledger.call_of(number)
    options = {item.keyword: item.value.literal for item in call.arguments}
    is_plain = (
        call.qualified.endswith("DataCollatorForLanguageModeling") and options.get("mlm") == "False"
    )
    if not is_plain:
        return False
    ledger.decide_call(call, Fidelity.EXACT, None, "the default collation")
    if call.is_statement and call.target is not None:
        ledger.remove_statement(call.statement)
        ledger.removed[(call.target, call.scope)] = "MM225"
    return True


def _plan_uses(plan: SftPlan, script: SftScript) -> bool:
    """Decide every use of the trainer and the model; return whether evaluation is called later."""
    ledger, trainer = plan.ledger, plan.trainer
    context = _after_training(plan, script)
    numbers = {trainer.number, *(call.number for call in plan.model.calls)}
    replaced = [trainer, *plan.model.calls]
    if plan.config.call is not None:
        replaced.append(plan.config.call)
    evaluates = False
    for use in ledger.facts.uses:
        if use.call not in numbers or use.found in ledger.decisions:
            continue
        if use is plan.train_use:
            _decide_train(plan, use)
            continue
        if _inside_argument(ledger, use, replaced):
            continue
        evaluates |= plan_use(ledger, use, context)
    assert trainer.target is not None
    ledger.remove_statement(trainer.statement)
    ledger.removed[(trainer.target, trainer.scope)] = "MM230"
    return evaluates


def _after_training(plan: SftPlan, script: SftScript) -> AfterTraining:
    prefix = "self." if (plan.trainer.target or "").startswith("self.") else ""
    client = f"{prefix}{plan.names.client}"
    tokenizer = plan.arguments.get("processing_class")
    dataset = plan.arguments.get("eval_dataset")
    formatting = plan.arguments.get("formatting_func")
    return AfterTraining(
        names=replace(plan.names, client=client),
        config=plan.config_name,
        tokenizer=tokenizer.value.text if tokenizer is not None else f"{client}.get_tokenizer()",
        eval_dataset=dataset.value.text
        if dataset is not None and dataset.value.literal is None
        else None,
        train_statement=plan.train_use.statement,
        batched_formatting=script.data.batched_formatting,
        formatting_func=formatting.value.text
        if script.data.format == "formatting_func" and formatting
        else None,
    )


def _inside_argument(ledger: Ledger, use: Use, calls: list[Call]) -> bool:
    """Decide a use that is part of an argument we have already decided."""
    for call in calls:
        for argument in call.arguments:
            if not contains(argument.value.span, use.found.span):
                continue
            decision = ledger.decisions[argument.found]
            if decision.fidelity is not Fidelity.DROPPED:
                raise Blocked(
                    "MM230",
                    f"`{use.found.source_text}` is needed for `{argument.keyword}`",
                    use.found,
                )
            ledger.decide(use.found, Fidelity.DROPPED, code=decision.code, note=decision.note)
            for inner in use.arguments:
                decide_argument(ledger, inner, Fidelity.DROPPED, decision.code, decision.note)
            return True
    return False


def _decide_train(plan: SftPlan, use: Use) -> None:
    ledger = plan.ledger
    row = ledger.tables.attribute_row(TRAINER, "train")
    if use.target is None:
        ledger.exact(use.found, row, f"{plan.names.train}()")
    else:
        note = (
            f"`{use.target}` has `training_loss`, `global_step` and `metrics['train_loss']`, "
            "nothing else"
        )
        ledger.decide(
            use.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM226",
            target=f"{plan.names.train}()",
            note=note,
        )
        ledger.differ(use.found, "MM226", note)
    for argument in use.arguments:
        if argument.keyword == "resume_from_checkpoint" or argument.index == 0:
            ledger.exact(argument.found, None, f"{plan.names.train}(resume_from_checkpoint=...)")
        else:
            ledger.manual(argument.found, "MM230", "`train` takes nothing else here")


def _write_call(plan: SftPlan, script: SftScript) -> None:
    """Write the call of `train` where `trainer.train()` stood."""
    ledger, arguments = plan.ledger, plan.arguments
    prefix = "self." if (plan.trainer.target or "").startswith("self.") else ""
    lines = [
        f"{prefix}{plan.names.client} = {plan.names.train}(",
        f"    {plan.config_name},",
        f"    base_model={plan.model.base_model},",
        f"    rank={plan.model.rank},",
        *_given(plan, "train_dataset"),
    ]
    if script.eval_dataset:
        lines += _given(plan, "eval_dataset")
    if script.tokenizer:
        lines += _line("tokenizer", arguments["processing_class"])
    if script.data.format == "formatting_func":
        lines += _line("formatting_func", arguments["formatting_func"])
    if script.resume:
        lines.append(f"    resume_from_checkpoint={_resume_text(plan)},")
    if plan.train_use.target is not None:
        tail = f"{plan.train_use.target} = {plan.names.summary}({plan.config_name}.output_dir)"
        text = "\n".join([*lines, ")", tail])
    else:
        text = "\n".join([*lines, ")"])
    ledger.replace_statement(plan.train_use.statement, plan.config_text + text)


def _line(name: str, argument: Argument) -> list[str]:
    """Return the lines of one argument, with its comments."""
    comments = [f"    {comment}" for comment in argument.comments]
    trailing = f"  {argument.trailing}" if argument.trailing else ""
    return [*comments, f"    {name}={argument.value.text},{trailing}"]


def _given(plan: SftPlan, name: str) -> list[str]:
    argument = plan.arguments.get(name)
    if argument is None:
        raise Blocked("MM230", f"`SFTTrainer` is built without `{name}`", plan.trainer.found)
    return _line(name, argument)


def _resume_text(plan: SftPlan) -> str:
    for argument in plan.train_use.arguments:
        if argument.keyword == "resume_from_checkpoint" or argument.index == 0:
            return argument.value.text
    return plan.config.text("resume_from_checkpoint") or "None"


def _imports(script: SftScript) -> frozenset[str]:
    """Return the imports that the functions need."""
    needed = {
        "import json",
        "import math",
        "from pathlib import Path",
        "from types import SimpleNamespace",
    }
    needed |= {"import mint", "from mint import types"}
    if script.order != "sequential":
        needed.add("import torch")
    has_prompt = script.data.format in {"any", "prompt_completion", "prompt_completion_chat"}
    if has_prompt and script.data.completion_only and script.data.pairs == "common_prefix":
        needed.add("import os")
    if script.tracker == "wandb":
        needed |= {"import wandb", "import os"} if script.tracker_starts else {"import wandb"}
    if script.tracker == "tensorboard":
        needed.add("from torch.utils.tensorboard import SummaryWriter")
    return frozenset(needed)

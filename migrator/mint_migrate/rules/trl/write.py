"""The statements that stand for the configuration and for `trainer.train()`."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call, Value
from mint_migrate.model.script import EpochsScript, LoopScript
from mint_migrate.model.source import contains
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import namespace
from mint_migrate.rules.trl.state import BuiltTrainer, TrainerPlan

CURVED = frozenset({"cosine", "cosine_with_restarts", "inverse_sqrt", "cosine_with_min_lr", "any"})
"""Schedules whose formula needs `math`."""


def place_config(plan: BuiltTrainer, call: Call | None, value: Value | None) -> None:
    """Write the namespace where the configuration stood, or just before training."""
    ledger = plan.ledger
    text = namespace(plan.config, ledger.version)
    if call is not None:
        target = f"{call.target} = SimpleNamespace(...)" if call.target else "SimpleNamespace(...)"
        ledger.exact(call.found, ledger.tables.row(call.qualified), target)
        if plan.broken_config is not None and call.target is not None:
            ledger.needs_person(call.target, call.scope, plan.broken_config, "MM230")
    put_config(plan, call, value, text)


def put_config(plan: BuiltTrainer, call: Call | None, value: Value | None, text: str) -> None:
    """Put *text*, which makes the configuration, where *call* stood, or just before training."""
    ledger = plan.ledger
    if call is not None and call.is_statement and call.target is not None:
        ledger.replace_statement(call.statement, f"{call.target} = {text}")
        plan.config_name = value.text if value is not None else call.target
        drop_splatted(plan, call)
        return
    if call is not None and value is not None and value.call is None:
        ledger.replace_expression(call.found.span, text)
        if value.name is not None:
            plan.config_name = value.text
            return
        text = value.text
    taken = {name for scope in ledger.facts.scopes for name in scope.names}
    candidates = ("config", "training_config", f"{plan.kind.short}_config")
    plan.config_name = next(name for name in candidates if name not in taken)
    plan.config_text = f"{plan.config_name} = {text}\n"
    if call is not None:
        drop_splatted(plan, call)


def drop_splatted(plan: BuiltTrainer, call: Call) -> None:
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


def write_call(plan: TrainerPlan, script: LoopScript) -> None:
    """Write the call of `train` where `trainer.train()` stood."""
    plan.model.client = plan.client
    if plan.is_apart:
        given = _given_to_train(plan)
        resume = f"resume_from_checkpoint={given}" if given is not None else ""
        lines = [f"{_bound(plan)}{plan.train_use.root}({resume})"]
    else:
        lines = [f"{_bound(plan)}{plan.names['train']}(", *_call_lines(plan, script), ")"]
    if plan.train_use.target is not None:
        lines.append(_summary(plan, script))
    if script.times:
        lines.insert(0, f"{plan.names['started']} = time.perf_counter()")
    client = f"{plan.client}.save_weights_and_get_sampling_client()"
    lines += [f"{name} = {plan.names['sampled_model']}({client})" for name in plan.sampled_after]
    text = "\n".join(lines)
    if plan.is_apart:
        write_construction(plan, script)
        plan.ledger.replace_statement(plan.train_use.statement, text)
    else:
        plan.ledger.replace_statement(plan.train_use.statement, plan.config_text + text)


def _bound(plan: TrainerPlan) -> str:
    """Return `client = `, or nothing where a function would leave the client unread."""
    edits = [edit.text or "" for edit in plan.ledger.edits.values()]
    is_read = bool(plan.sampled_after) or any(plan.client in text for text in edits)
    goes_on = any(use.chain == "model" for use in plan.ledger.uses_of(plan.trainer))
    is_local = plan.train_use.scope != 0 and not plan.client.startswith("self.")
    return "" if is_local and not is_read and not goes_on else f"{plan.client} = "


def write_construction(plan: TrainerPlan, script: LoopScript) -> None:
    """Write what is left to do where the trainer was built."""
    trainer = plan.trainer
    start = "return" if trainer.target is None else f"{trainer.target} ="
    lines = [f"{start} partial(", f"    {plan.names['train']},", *_call_lines(plan, script), ")"]
    plan.ledger.replace_statement(trainer.statement, plan.config_text + "\n".join(lines))


def _call_lines(plan: TrainerPlan, script: LoopScript) -> list[str]:
    """Return what `train` is given, one argument a line."""
    arguments = plan.arguments
    lines = [
        f"    {plan.config_name},",
        f"    base_model={plan.model.base_model},",
        f"    rank={plan.model.rank},",
        *_given(plan, "train_dataset"),
    ]
    if script.eval_dataset:
        lines += _given(plan, "eval_dataset")
    if script.tokenizer:
        lines += argument_lines("tokenizer", arguments["processing_class"])
    for name in script.passes:
        lines += argument_lines(name, arguments[name])
    lines += [f"    {name}={text}," for name, text in script.handed]
    if plan.model.starts_from:
        lines.append(f"    starts_from={plan.model.starts_from},")
    if script.callbacks:
        lines.append(f"    callbacks={plan.callbacks},")
    if script.resume:
        text = None if plan.is_apart else _given_to_train(plan)
        text = text or plan.config.text("resume_from_checkpoint")
        if text is not None or not plan.is_apart or _given_to_train(plan) is None:
            lines.append(f"    resume_from_checkpoint={text or 'None'},")
    return lines


def _summary(plan: TrainerPlan, script: LoopScript) -> str:
    """Return the statement that binds what the result of `train()` was bound to."""
    given = f"{plan.config_after}.output_dir"
    if script.times:
        seconds = f"time.perf_counter() - {plan.names['started']}"
        given += f", {plan.config_after}.batch_size, {seconds}"
    return f"{plan.train_use.target} = {plan.names['summary']}({given})"


def argument_lines(name: str, argument: Argument) -> list[str]:
    """Return the lines of one argument, with its comments."""
    comments = [f"    {comment}" for comment in argument.comments]
    trailing = f"  {argument.trailing}" if argument.trailing else ""
    return [*comments, f"    {name}={argument.value.text},{trailing}"]


def _given(plan: TrainerPlan, name: str) -> list[str]:
    argument = plan.arguments.get(name)
    if argument is None:
        trainer = plan.kind.trainer.removeprefix("trl.")
        raise Blocked("MM230", f"`{trainer}` is built without `{name}`", plan.trainer.found)
    return argument_lines(name, argument)


def _given_to_train(plan: TrainerPlan) -> str | None:
    """Return the checkpoint that `train()` itself was told to go on from."""
    for argument in plan.train_use.arguments:
        if argument.keyword == "resume_from_checkpoint" or argument.index == 0:
            return argument.value.text
    return None


def needed_imports(script: LoopScript) -> frozenset[str]:
    """Return the imports that the functions of every loop need."""
    needed = {
        "import json",
        "from pathlib import Path",
    }
    if script.options is None or script.summarizes or script.makes_namespaces:
        needed.add("from types import SimpleNamespace")
    if isinstance(script, EpochsScript) or _computes(script):
        needed.add("import math")
    needed |= {"import mint", "from mint import types"}
    draws = isinstance(script, EpochsScript) and script.order != "sequential"
    if draws or script.samples:
        needed.add("import torch")
    if script.times:
        needed.add("import time")
    if script.callbacks:
        needed |= {
            "from transformers import TrainerControl",
            "from transformers import TrainerState",
        }
    if script.tracker == "wandb":
        needed |= {"import wandb", "import os"} if script.tracker_starts else {"import wandb"}
    if script.tracker == "tensorboard":
        needed.add("from torch.utils.tensorboard import SummaryWriter")
    return frozenset(needed)


def _computes(script: LoopScript) -> bool:
    """Say whether length, intervals or schedule of the loop need `math`."""
    schedule = script.schedule
    written = (schedule.warmup, schedule.decay, *script.every.values())
    return (
        script.length != "max_steps"
        or schedule.kind in CURVED
        or any("math." in text for text in written)
    )

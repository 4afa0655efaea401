"""Decisions about the trainer, its arguments and what is done with it."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import LoopScript
from mint_migrate.model.source import contains
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.sampled import decide_trainer_sampling
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.uses import AfterTraining, decide_argument, plan_use
from mint_migrate.rules.trl.write import drop_splatted


def decide_trainer(plan: TrainerPlan, script: LoopScript) -> None:
    """Decide the trainer's call and each of its arguments."""
    ledger, trainer = plan.ledger, plan.trainer
    _decide_construction(plan)
    drop_splatted(plan, trainer)
    targets = {
        "model": "create_lora_training_client(base_model=...)",
        "args": plan.config_name,
        "train_dataset": f"{plan.names['train']}(train_dataset=...)",
        "eval_dataset": f"{plan.names['train']}(eval_dataset=...)"
        if script.eval_dataset
        else "nothing to do: no evaluation is asked for while training",
        "processing_class": f"{plan.names['train']}(tokenizer=...)",
        "peft_config": "create_lora_training_client(rank=...)",
        **plan.kind.targets,
    }
    for name, argument in plan.arguments.items():
        if argument.found in ledger.decisions or plan.kind.decide(plan, name, argument):
            continue
        if name in targets:
            ledger.exact(
                argument.found,
                ledger.tables.row(f"{plan.kind.trainer}.{name}", ledger.version),
                targets[name],
            )
        else:
            _decide_other(plan, name, argument)


def _decide_construction(plan: TrainerPlan) -> None:
    """The trainer is exact unless it trained all weights, or a rule has said what differs."""
    ledger, trainer = plan.ledger, plan.trainer
    row, target = ledger.tables.row(trainer.qualified), f"{plan.names['train']}()"
    if not plan.model.is_lora:
        note = (
            f"all weights were trained; MinT trains a LoRA adapter, here of rank {plan.model.rank}"
        )
        ledger.differ(trainer.found, "MM204", note, plan.train_use.statement)
    own = [(code, note) for found, code, note in ledger.differences if found == trainer.found]
    own.sort(key=lambda item: item[0] != "MM204")
    if not own:
        ledger.exact(trainer.found, row, target)
        return
    ledger.decide(
        trainer.found,
        Fidelity.APPROXIMATE,
        row=row,
        code=own[0][0],
        target=target,
        note="; ".join(note for _, note in own),
    )


def _decide_other(plan: TrainerPlan, name: str, argument: Argument) -> None:
    ledger = plan.ledger
    if name == "data_collator" and _is_plain_collator(plan, argument):
        ledger.exact(
            argument.found,
            ledger.tables.row(f"{plan.kind.trainer}.{name}"),
            "tokenize_row()",
            "the default collation",
        )
        return
    row = ledger.tables.row(f"{plan.kind.trainer}.{name}", ledger.version) or ledger.tables.row(
        f"{plan.kind.trainer}.{name}"
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


def _is_plain_collator(plan: TrainerPlan, argument: Argument) -> bool:
    """Say whether the collator only shifts and pads: the one for language models, `mlm=False`."""
    ledger = plan.ledger
    call = ledger.call_behind(argument.value, plan.trainer.scope, plan.trainer.statement)
    if call is None:
        return False
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


def plan_uses(plan: TrainerPlan, script: LoopScript) -> bool:
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
        if _is_loaded_later(plan, use) or _trains_on(plan, use):
            continue
        if use is plan.train_use:
            _decide_train(plan, use)
            continue
        if _inside_argument(ledger, use, replaced):
            continue
        if decide_trainer_sampling(plan, use, context.names["client"]):
            continue
        evaluates |= plan_use(ledger, use, context)
    if plan.is_apart:
        return evaluates
    assert trainer.target is not None
    ledger.remove_statement(trainer.statement)
    ledger.removed[(trainer.target, trainer.scope)] = "MM230"
    return evaluates


def _is_loaded_later(plan: TrainerPlan, use: Use) -> bool:
    """Say whether a use is one of a model that was loaded when training was over."""
    made = next(call for call in plan.ledger.facts.calls if call.number == use.call)
    train = plan.train_use
    return (
        made.number != plan.trainer.number
        and made.scope == train.scope
        and (made.statement > train.statement)
    )


def _trains_on(plan: TrainerPlan, use: Use) -> bool:
    """Say whether a use hands the trained model to another trainer, whose rule decides about it."""
    return use.chain == "model" and any(
        argument.value.span == use.found.span
        for call in plan.ledger.facts.calls
        if call.qualified.endswith("Trainer") and call.number != plan.trainer.number
        for argument in call.arguments
    )


def _after_training(plan: TrainerPlan, script: LoopScript) -> AfterTraining:
    client = plan.client
    tokenizer = plan.arguments.get("processing_class")
    dataset = plan.given("eval_dataset")
    return AfterTraining(
        names={**plan.names, "client": client},
        config=plan.config_after,
        evaluation_rows=None
        if plan.is_apart
        else plan.kind.evaluation_rows(
            plan,
            script,
            tokenizer.value.text if tokenizer is not None else f"{client}.get_tokenizer()",
        ),
        eval_dataset=dataset.value.text
        if dataset is not None and dataset.value.literal is None
        else None,
        train_statement=plan.train_use.statement,
        scope=plan.train_use.scope,
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


def _decide_train(plan: TrainerPlan, use: Use) -> None:
    ledger = plan.ledger
    row = ledger.tables.attribute_row(plan.kind.trainer, "train")
    if use.target is None:
        ledger.exact(use.found, row, f"{plan.names['train']}()")
    else:
        speed = " and the figures of its speed" if plan.script and plan.script.times else ""
        note = (
            f"`{use.target}` has `training_loss`, `global_step` and `metrics['train_loss']`"
            f"{speed}, nothing else"
        )
        ledger.decide(
            use.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM226",
            target=f"{plan.names['train']}()",
            note=note,
        )
        ledger.differ(use.found, "MM226", note)
    for argument in use.arguments:
        if argument.keyword == "resume_from_checkpoint" or argument.index == 0:
            ledger.exact(argument.found, None, f"{plan.names['train']}(resume_from_checkpoint=...)")
        else:
            ledger.manual(argument.found, "MM230", "`train` takes nothing else here")

"""Rule: a trainer and its `.train()` become `train(...)`, a visible loop.

Finds: one construction of a trainer of the registry bound to a name, and one call of its
`train` in the same scope. Writes: the functions of the kind's template, a `SimpleNamespace` where
the configuration stood, one call of `train`.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.facts import Argument, Call, Value
from mint_migrate.model.script import LoopScript, Names
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.names import check_free
from mint_migrate.rules.trl.apart import IMPORT as PARTIAL
from mint_migrate.rules.trl.apart import check_construction, is_apart, plan_branches
from mint_migrate.rules.trl.arguments import (
    adopt_model_length,
    adopt_old_arguments,
    bind_arguments,
    check_owner,
    find_config,
    find_training,
)
from mint_migrate.rules.trl.best import OPTIONS as BEST_OPTIONS
from mint_migrate.rules.trl.best import plan_best
from mint_migrate.rules.trl.callbacks import plan_callbacks
from mint_migrate.rules.trl.checks import (
    check_config_uses,
    check_evaluation_rows,
    check_images,
    check_unchanged,
)
from mint_migrate.rules.trl.config import open_config
from mint_migrate.rules.trl.continued import check_continued
from mint_migrate.rules.trl.decisions import decide_trainer, plan_uses
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.lora import plan_lora
from mint_migrate.rules.trl.model import finish_model, plan_model
from mint_migrate.rules.trl.model_plan import ModelPlan
from mint_migrate.rules.trl.options.opened import open_options
from mint_migrate.rules.trl.options.place import option_imports, place_options
from mint_migrate.rules.trl.options.source import OptionSource, keywords_source, parsed_source
from mint_migrate.rules.trl.readers import check_readers
from mint_migrate.rules.trl.sampled import plan_sampling
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.subclass import check_subclass
from mint_migrate.rules.trl.write import needed_imports, place_config, write_call


def plan_trainer(
    ledger: Ledger, kind: TrainerKind, trainer: Call, names: Names
) -> tuple[LoopScript, frozenset[str]]:
    """Plan one trainer; return the script's functions and the imports they need.

    Raises:
        Blocked: the trainer cannot be converted; nothing the ledger holds may be used then.
    """
    plan, placed = _open(ledger, kind, trainer, names)
    if not plan.is_apart:
        plan_sampling(plan)
    check_unchanged(plan)
    check_evaluation_rows(plan)
    plan.script = kind.plan(plan)
    check_images(plan)
    if kind.calls_callbacks:
        plan.script = plan_best(plan, plan_callbacks(plan, plan.script))
    check_config_uses(plan)
    if plan.source is not None:
        options = place_options(plan, plan.source, *placed)
        plan.script = replace(plan.script, options=options)
    else:
        place_config(plan, *placed)
    script = _write(plan, plan.script)
    needed = needed_imports(script) | kind.imports(plan, script) | plan.model.imports
    needed |= option_imports(script.options)
    needed |= {PARTIAL} if plan.is_apart else set()
    check_free(ledger, trainer.scope, needed)
    return script, needed


def _open(
    ledger: Ledger, kind: TrainerKind, trainer: Call, names: Names
) -> tuple[TrainerPlan, tuple[Call | None, Value | None]]:
    """Find what the trainer is given; return the plan, and the configuration's call and value.

    Raises:
        Blocked: something of it cannot be seen.
    """
    arguments = bind_arguments(ledger, kind, trainer)
    kind.check(ledger, trainer, arguments)
    check_construction(ledger, trainer)
    check_subclass(ledger, trainer)
    train_use = find_training(ledger, trainer)
    apart = is_apart(ledger, trainer, train_use)
    source, config_call, config_value = _find_options(ledger, kind, trainer, arguments)
    config = open_config(
        ledger, kind.config, config_call, train_use.statement, hides=source is not None
    )
    config.carried |= kind.carried
    config.decided |= kind.decided
    if source is not None:
        open_options(config, source, kind.run_time)
    elif kind.calls_callbacks:
        config.decided |= BEST_OPTIONS
    adopt_old_arguments(config, arguments, kind.adopted(ledger.version))
    model = _open_model(ledger, kind, trainer, arguments, train_use.statement, carries=apart)
    adopt_model_length(config, model)
    finish_model(ledger, model)
    plan = TrainerPlan(
        ledger=ledger,
        kind=kind,
        trainer=trainer,
        arguments=arguments,
        names=names,
        train_use=train_use,
        is_apart=apart,
        config=config,
        model=model,
        source=source,
    )
    return plan, (config_call, config_value)


def _open_model(
    ledger: Ledger,
    kind: TrainerKind,
    trainer: Call,
    arguments: dict[str, Argument],
    place: Span,
    *,
    carries: bool,
) -> ModelPlan:
    """Follow the model and its adapter.

    Raises:
        Blocked: there is none, or it cannot be followed.
    """
    argument = arguments.get("model")
    if argument is None:
        raise Blocked("MM230", f"`{_last(kind)}` is built without a model", trainer.found)
    model = plan_model(ledger, argument.value, trainer.scope, trainer.statement, carries=carries)
    peft = arguments.get("peft_config")
    check_continued(model, kind.short, peft is not None and peft.value.literal != "None")
    plan_lora(ledger, model, peft.value if peft else None, trainer, place)
    return model


def _write(plan: TrainerPlan, script: LoopScript) -> LoopScript:
    """Decide the trainer and its uses, write the call of `train`, and return the whole script."""
    decide_trainer(plan, script)
    if plan_uses(plan, script):
        script = plan.script = replace(script, evaluates_later=True)
    if plan.samples:
        script = plan.script = replace(script, samples=True)
    if plan.model.starts_from:
        script = plan.script = replace(script, starts_from=True)
    write_call(plan, script)
    if plan.is_apart:
        plan_branches(plan, script)
        note = "is `train` with its arguments now"
        check_readers(plan.ledger, {plan.trainer.number}, note)
    plan.ledger.trained[plan.trainer.number] = plan.model
    return script


def _find_options(
    ledger: Ledger, kind: TrainerKind, trainer: Call, arguments: dict[str, Argument]
) -> tuple[OptionSource | None, Call | None, Value | None]:
    """Return where options come from that are only known later, and the call of the configuration.

    Raises:
        Blocked: where the configuration is made cannot be seen, or it is not one of this trainer.
    """
    source = parsed_source(ledger, arguments.get("args"), trainer)
    if source is not None:
        check_owner(kind, source.owner, arguments["args"])
        return source, None, arguments["args"].value
    call, value = find_config(ledger, kind, trainer, arguments)
    source = keywords_source(ledger, call, kind.config) if call is not None else None
    return source, call, value


def _last(kind: TrainerKind) -> str:
    return kind.trainer.rsplit(".", 1)[-1]

"""Rule: the user's own callbacks are called by the loop, with transformers' state and control.

A class of the script that derives from `TrainerCallback` stays as it is, where its methods need
nothing that only a local training has: the model, its optimizer, the loaders. `callbacks=[...]` and
`trainer.add_callback(...)` before training become an argument of `train`. Order of the events:
transformers v5.23.0, `trainer.py`.
"""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass, field, replace

from mint_migrate.model.facts import Argument, Use
from mint_migrate.model.plan import Fidelity, Found
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.best import EARLY, SHOWN, evaluates_loss
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan

BASE = "transformers.TrainerCallback"
CALLED = frozenset(
    {
        *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
        *("on_step_begin", "on_step_end", "on_log", "on_evaluate", "on_save"),
    }
)
"""Events of the loop."""
PASSED = frozenset({"self", "args", "state", "control", "logs", "metrics", "processing_class"})
"""Parameters of an event that the loop gives."""
LOCAL = frozenset({"model", "optimizer", "lr_scheduler", "train_dataloader", "eval_dataloader"})
"""What the Trainer gives besides, by name."""
LOGS = (
    "`on_log` is given loss, learning rate, gradient norm and the figures of this loop's record; "
    "the totals that the Trainer logs at the end are not"
)
TARGET = "train(callbacks=[...])"


@dataclass(slots=True)
class _Kept:
    """What the loop calls, and which fields of the configuration that reads."""

    texts: list[str] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    stops_early: bool = False
    """Transformers' own callback for that is among them."""
    logs: bool = False
    """The last one looks at what is logged."""


def plan_callbacks(plan: TrainerPlan, script: LoopScript) -> LoopScript:
    """Decide the callbacks that the loop can call; return the script that calls them.

    What cannot be called is left to the rows of the tables, which leave it to a person.
    """
    kept = _Kept()
    argument = plan.given("callbacks")
    if argument is not None:
        _from_argument(plan, argument, kept)
    for use in plan.ledger.uses_of(plan.trainer):
        is_before = use.statement < plan.train_use.statement and use.is_statement
        if use.chain == "add_callback" and use.is_call and is_before and len(use.arguments) == 1:
            _from_use(plan, use, kept)
    _carry_fields(plan.config, kept.reads)
    if not kept.texts:
        return script
    plan.callbacks = f"[{', '.join(kept.texts)}]"
    return replace(script, callbacks=True, stops_early=kept.stops_early)


def _from_argument(plan: TrainerPlan, argument: Argument, kept: _Kept) -> None:
    ledger = plan.ledger
    node = _parsed(argument.value.text)
    if not isinstance(node, ast.List) or len(node.elts) != len(argument.elements):
        return
    lost = False
    early = _early_stopping(plan, argument)
    for element, found in zip(node.elts, argument.elements, strict=True):
        if found is early:
            kept.texts.append(found.source_text)
            kept.stops_early = True
            ledger.exact(found, ledger.tables.row(EARLY), TARGET, "called by the loop")
        elif _keep(plan, element, found.source_text, kept):
            _decide_kept(plan, found, kept)
        else:
            lost |= _leave(ledger, found)
    row = ledger.tables.row(f"{plan.kind.trainer}.callbacks", ledger.version)
    if lost:
        note = "some of these callbacks cannot be called by the loop"
        ledger.decide(argument.found, Fidelity.MANUAL, row=row, code="MM216", note=note)
        ledger.mark(plan.train_use.statement, "MM216", f"`callbacks=`: {note}")
    else:
        ledger.exact(argument.found, row, TARGET)
    for call in ledger.calls_inside(argument.value.span):
        holder = next(item for item in argument.elements if item.span == call.found.span)
        decision = ledger.decisions[holder]
        ledger.decide_call(call, decision.fidelity, decision.code, decision.note)


def _early_stopping(plan: TrainerPlan, argument: Argument) -> Found | None:
    """Return the element that stops early, where the loop has the metric it looks at."""
    script, ledger = plan.script, plan.ledger
    assert script is not None
    names = {item: ledger.tables.canonical(item.name) for item in argument.elements}
    found = next((item for item, name in names.items() if name == EARLY), None)
    is_served = script.evaluation in SHOWN and evaluates_loss(plan.config)
    return found if is_served else None


def _decide_kept(plan: TrainerPlan, found: Found, kept: _Kept) -> None:
    ledger = plan.ledger
    row = ledger.tables.row(BASE)
    if kept.logs:
        ledger.decide(found, Fidelity.APPROXIMATE, row=row, code="MM216", target=TARGET, note=LOGS)
        ledger.differ(found, "MM216", LOGS)
    else:
        ledger.exact(found, row, TARGET, "called by the loop")


def _leave(ledger: Ledger, found: Found) -> bool:
    """Decide a callback that is not called, by its row; return whether a person is needed."""
    row = ledger.tables.row(ledger.tables.canonical(found.name))
    if row is not None and row.fidelity is Fidelity.DROPPED:
        ledger.decide(found, row.fidelity, row=row, code=row.code, note=row.note)
        return False
    note = row.note if row is not None else "the loop cannot call it: it needs the local model"
    ledger.manual(found, row.code or "MM216" if row is not None else "MM216", note, row)
    return True


def _from_use(plan: TrainerPlan, use: Use, kept: _Kept) -> None:
    ledger = plan.ledger
    argument = use.arguments[0]
    node = _parsed(argument.value.text)
    if argument.star or node is None or not _keep(plan, node, argument.value.text, kept):
        return
    row = ledger.tables.attribute_row(plan.kind.trainer, "add_callback")
    ledger.exact(use.found, row, TARGET)
    _decide_kept(plan, argument.found, kept)
    for call in ledger.calls_inside(argument.value.span):
        ledger.decide_call(call, Fidelity.EXACT, None, "called by the loop")
    ledger.remove_statement(use.statement)


def _keep(plan: TrainerPlan, node: ast.expr, text: str, kept: _Kept) -> bool:
    """Keep a callback that the loop can call; return whether it is one."""
    made = node
    if isinstance(node, ast.Name) and _class_of(plan, node.id) is None:
        place = plan.train_use.statement
        binding = plan.ledger.binding_of(node.id, plan.trainer.scope, place)
        value = binding.value if binding is not None else None
        made = _parsed(value.text) or node if value is not None else node
    function = made.func if isinstance(made, ast.Call) else made
    definition = _class_of(plan, function.id) if isinstance(function, ast.Name) else None
    if definition is None or not _is_callable(definition, _honored(plan)):
        return False
    kept.texts.append(f"{text}()" if made is function else text)
    kept.logs = any(event.name == "on_log" for event in _events(definition))
    kept.reads |= _fields_read(definition)
    for item in plan.ledger.facts.overridden:
        if item.class_name == definition.name and item.found not in plan.ledger.decisions:
            row = plan.ledger.tables.row(item.base)
            plan.ledger.exact(item.found, row, "train()", "called by the loop")
    return True


def _honored(plan: TrainerPlan) -> frozenset[str]:
    """Return the flags of the control that this loop looks at."""
    assert plan.script is not None
    flags = {"should_training_stop", "should_log"}
    if plan.script.evaluation != "no":
        flags.add("should_evaluate")
    if plan.script.saving != "no":
        flags.add("should_save")
    return frozenset(flags)


def _class_of(plan: TrainerPlan, name: str) -> ast.ClassDef | None:
    """Return the class of the file that derives from the callback class and nothing else."""
    owned = {item.class_name for item in plan.ledger.facts.overridden if item.base == BASE}
    if name not in owned:
        return None
    found = [item for item in _classes(plan.ledger.facts.text) if item.name == name]
    return found[0] if len(found) == 1 and len(found[0].bases) == 1 else None


@functools.lru_cache(maxsize=1)
def _classes(text: str) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]


def _events(definition: ast.ClassDef) -> list[ast.FunctionDef]:
    return [
        item
        for item in definition.body
        if isinstance(item, ast.FunctionDef) and item.name.startswith("on_")
    ]


def _is_callable(definition: ast.ClassDef, honored: frozenset[str]) -> bool:
    """Say whether every event is one of the loop's and needs only what the loop gives."""
    attributes = {node.attr for node in ast.walk(definition) if isinstance(node, ast.Attribute)}
    if any(name.startswith("should_") and name not in honored for name in attributes):
        return False
    for event in _events(definition):
        given = [item.arg for item in (*event.args.args, *event.args.kwonlyargs)]
        words = {node.value for node in ast.walk(event) if isinstance(node, ast.Constant)}
        needs = (set(given) - PASSED) | (LOCAL & words)
        replaces = any(
            isinstance(node, ast.Call) and ast.unparse(node.func) == "TrainerControl"
            for node in ast.walk(event)
        )
        if event.name not in CALLED or needs or event.args.kwarg is None or replaces:
            return False
    return True


def _fields_read(definition: ast.ClassDef) -> set[str]:
    """Return the attributes of `args` that the events read."""
    return {
        node.attr
        for event in _events(definition)
        for node in ast.walk(event)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "args"
    }


def _carry_fields(config: ConfigPlan, names: set[str]) -> None:
    """Give the namespace what the callbacks read of the configuration."""
    for name in sorted(names - set(config.fields)):
        text = config.text(name) or config.default(name)
        if text is not None:
            config.put(name, text)


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None

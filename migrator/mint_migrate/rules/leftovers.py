"""Rule: calls, uses and imports that no construct's rule has claimed."""

from __future__ import annotations

from mint_migrate.model.facts import Call, ImportedName, OverriddenMethod, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.uses import plan_use

KEPT = "stays as it is"
OTHER_TASKS = frozenset(
    {
        "sentiment-analysis",
        "text-classification",
        "zero-shot-classification",
        "feature-extraction",
        "fill-mask",
        "question-answering",
        "ner",
        "token-classification",
        "translation",
        "summarization",
    }
)
"""Tasks of a pipeline with a model of its own, such as a judge of what was sampled."""
NOT_NEEDED = frozenset({"trl", "peft", "bitsandbytes", "unsloth", "accelerate", "deepspeed"})
"""Packages that a MinT script should not depend on; what is left of them becomes comments."""


def decide_call(ledger: Ledger, call: Call) -> bool:
    """Decide a call nobody claimed; return whether it leaves the conversion partial."""
    if call.parent is not None and ledger.call_of(call.parent).found in ledger.decisions:
        outer = _enclosing_decision(ledger, call)
        if outer is not None:
            ledger.decide_call(call, *outer)
            return False
    row = ledger.tables.row(call.qualified)
    if row is None:
        return _decide_unknown(ledger, call)
    if row.transform == "keep" or _is_own_pipeline(call):
        ledger.decide_call(call, Fidelity.EXACT, None, KEPT)
        return False
    if row.fidelity is Fidelity.DROPPED and row.to == "None":
        ledger.decide_call(call, row.fidelity, row.code, row.note)
        ledger.replace_expression(call.found.span, row.to)
        return False
    if row.fidelity is Fidelity.DROPPED and call.is_statement:
        ledger.decide_call(call, row.fidelity, row.code, row.note)
        ledger.remove_statement(call.statement)
        for name in call.targets:
            ledger.removed.setdefault((name, call.scope), row.code or "MM230")
        return False
    name = ledger.tables.canonical(call.qualified)
    note = f"`{name}` is used here in a way that is not converted"
    if row.note and row.fidelity is not Fidelity.EXACT:
        note = row.note
    code = row.code or "MM230"
    ledger.decide_call(call, Fidelity.MANUAL, code, note)
    if call.qualified.split(".", 1)[0] in NOT_NEEDED:
        ledger.mark_broken(call.statement, code, note)
    else:
        ledger.mark(call.statement, code, note)
    return True


def _decide_unknown(ledger: Ledger, call: Call) -> bool:
    """Decide a call that has no row; return whether it leaves the conversion partial."""
    if call.qualified.startswith("transformers."):
        ledger.decide_call(call, Fidelity.EXACT, None, KEPT)
        return False
    note = f"`{call.qualified}` is not in the tables"
    ledger.decide_call(call, Fidelity.MANUAL, "MM290", note)
    ledger.mark_broken(call.statement, "MM290", note)
    return True


def _is_own_pipeline(call: Call) -> bool:
    """Say whether a pipeline of transformers does something else than the trained model does."""
    if call.qualified != "transformers.pipeline":
        return False
    task = next(
        (item for item in call.arguments if item.keyword == "task" or item.index == 0), None
    )
    literal = task.value.literal if task is not None else None
    return literal is not None and literal.strip("'\"") in OTHER_TASKS


def _enclosing_decision(ledger: Ledger, call: Call) -> tuple[Fidelity, str | None, str] | None:
    """Return the outcome of the argument a call stands in, if that argument is decided."""
    assert call.parent is not None
    for argument in ledger.call_of(call.parent).arguments:
        inside = ledger.calls_inside(argument.value.span)
        if any(item.number == call.number for item in inside):
            decision = ledger.decisions.get(argument.found)
            if decision is not None:
                return decision.fidelity, decision.code, decision.note
    return None


def decide_use(ledger: Ledger, use: Use) -> None:
    """Decide a use of a trainer or model that is not converted."""
    maker = ledger.call_of(use.call)
    decision = ledger.decisions.get(maker.found)
    if decision is not None and decision.fidelity is Fidelity.EXACT and decision.note == KEPT:
        ledger.exact(use.found, None, KEPT)
        for argument in use.arguments:
            if argument.found not in ledger.decisions:
                ledger.exact(argument.found, None, KEPT)
        return
    plan_use(ledger, use, None)


def decide_foreign(ledger: Ledger) -> bool:
    """Batches and options of verl beside a trainer of another framework are for a person."""
    for batch in ledger.facts.batches:
        note = f"`{batch.found.name}` stands in a script of another framework; convert it apart"
        for found in (batch.found, *(argument.found for argument in batch.arguments)):
            if found not in ledger.decisions:
                ledger.manual(found, "MM230", note)
        ledger.mark(batch.statement, "MM230", note)
    for entry in ledger.facts.entries:
        note = "an option of verl in a script of another framework; convert it apart"
        ledger.manual(entry.found, "MM230", note)
        ledger.mark(entry.statement, "MM230", note)
    return bool(ledger.facts.batches or ledger.facts.entries)


def decide_override(ledger: Ledger, item: OverriddenMethod) -> None:
    """A method of the user's subclass is kept, and for a person to look at."""
    row = ledger.tables.row(item.base)
    code = row.code if row is not None and row.code is not None else "MM202"
    note = f"`{item.class_name}` overrides a method of `{item.base}`, which nothing calls here"
    ledger.manual(item.found, code, note, row)
    ledger.mark(item.class_statement, code, note)


def decide_import(ledger: Ledger, item: ImportedName, kept: bool) -> None:
    """Decide an import: kept where the result still uses the name, else gone with its last use."""
    row = ledger.tables.row(item.qualified)
    if item.is_star:
        ledger.manual(item.found, "MM291", "a star import hides which names are used", row)
    elif kept:
        ledger.exact(item.found, row, KEPT)
    elif row is None and not _is_understood(ledger, item):
        ledger.manual(item.found, "MM290", f"`{item.qualified}` is not in the tables")
    else:
        ledger.exact(item.found, row, "no longer imported")


def _is_understood(ledger: Ledger, item: ImportedName) -> bool:
    """Say whether an imported name without a row of its own is a package, or a module whose
    contents were used.
    """
    root, _, rest = item.qualified.partition(".")
    return (
        not rest
        or root == "transformers"
        or any(call.qualified.startswith(f"{item.qualified}.") for call in ledger.facts.calls)
    )

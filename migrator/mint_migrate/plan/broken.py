"""What becomes of statements that need something which no longer exists."""

from __future__ import annotations

import re
from dataclasses import replace

from mint_migrate.model.facts import Call, Facts, Statement
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span, contains
from mint_migrate.plan.survival import names_in
from mint_migrate.rules.base import Blocked, Ledger

_LOOP = re.compile(r"(async\s+)?(for|while)\b")


def break_dependents(ledger: Ledger) -> None:
    """Turn statements that need a variable which no longer exists into comments, and so on."""
    facts = ledger.facts
    pending = True
    for span, (code, _) in list(ledger.broken.items()):
        _lose(ledger, _statement(facts, span), code)
    while pending:
        pending = False
        for statement in facts.statements:
            if _is_settled(ledger, statement):
                continue
            lost = _lost_name(ledger, statement)
            if lost is None:
                continue
            name, code = lost
            ledger.broken[statement.span] = (code, f"there is no `{name}` any more")
            owner = ledger.owner_of(name, statement.scope)
            if owner is not None:
                ledger.needs_person(name, owner, statement.span, code)
            _lose(ledger, statement, code)
            pending = True


def _statement(facts: Facts, span: Span) -> Statement:
    return next(item for item in facts.statements if item.span == span)


def _lose(ledger: Ledger, statement: Statement, code: str) -> None:
    """Take out the names that nothing binds any more, also those bound inside the statement."""
    bindings = ledger.facts.bindings
    lost = {(name, ledger.owner_of(name, statement.scope)) for name in statement.binds}
    lost |= {
        (item.name, item.scope) for item in bindings if contains(statement.span, item.statement)
    }
    for name, owner in sorted(lost, key=str):
        if owner is None:
            continue
        others = [
            item
            for item in bindings
            if item.name == name
            and item.scope == owner
            and item.statement != statement.span
            and item.kind not in {"parameter", "delete"}
            and not any(contains(span, item.statement) for span in ledger.broken)
        ]
        if not others:
            ledger.removed.setdefault((name, owner), code)


def check_inputs(ledger: Ledger, trainer: Call) -> None:
    """What training is given must not come from a statement that became a comment.

    Raises:
        Blocked: it does.
    """
    facts = ledger.facts
    written = [span for span, edit in ledger.edits.items() if edit.is_statement and edit.text]
    for span in written:
        outer = next(
            (item for item in ledger.broken if item != span and contains(item, span)), None
        )
        if outer is not None and _is_conversion(ledger, span):
            code, note = ledger.broken[outer]
            raise Blocked(
                code, f"line {outer.line} cannot stay, and training stands inside it: {note}"
            )
    reaching = [item for item in facts.statements if not _follows_training(facts, item, trainer)]
    inputs = _training_inputs(ledger, trainer, reaching)
    for statement in reaching:
        outer = next((item for item in ledger.broken if contains(item, statement.span)), None)
        if outer is None or statement.span in ledger.edits:
            continue
        for name in statement.binds:
            if (name, ledger.owner_of(name, statement.scope)) in inputs:
                code, note = ledger.broken[outer]
                raise Blocked(
                    code,
                    f"training needs `{name}` of line {statement.span.line}, which cannot "
                    f"stay: {note}",
                )


def _is_conversion(ledger: Ledger, span: Span) -> bool:
    """Say whether an edit writes the training call or its configuration."""
    text = ledger.edits[span].text or ""
    return "SimpleNamespace(" in text or "base_model=" in text


def _follows_training(facts: Facts, statement: Statement, trainer: Call) -> bool:
    """Say whether a statement runs when training is over, and not again before another one."""
    trainings = [use for use in facts.uses if use.call == trainer.number and use.chain == "train"]
    if not trainings or any(
        use.scope != statement.scope or statement.span <= use.statement for use in trainings
    ):
        return False
    first = trainings[0].statement
    return not any(
        item.is_compound
        and contains(item.span, first)
        and contains(item.span, statement.span)
        and _LOOP.match(facts.text.splitlines()[item.span.line - 1][item.span.column - 1 :])
        for item in facts.statements
    )


def _training_inputs(
    ledger: Ledger, trainer: Call, statements: list[Statement]
) -> set[tuple[str, int | None]]:
    """Return (name, scope) of everything that reaches the training call and its configuration."""
    inputs = {
        (name, ledger.owner_of(name, trainer.scope))
        for span, edit in ledger.edits.items()
        if edit.text and _is_conversion(ledger, span)
        for name in names_in(edit.text)
    }
    pending = True
    while pending:
        size = len(inputs)
        for statement in statements:
            if any(
                (name, ledger.owner_of(name, statement.scope)) in inputs for name in statement.binds
            ):
                edit = ledger.edits.get(statement.span)
                if edit is None or not edit.is_statement:
                    inputs |= {
                        (name, ledger.owner_of(name, statement.scope)) for name in statement.loads
                    }
        pending = len(inputs) > size
    return inputs


def decide_lost_uses(ledger: Ledger) -> None:
    """A use whose conversion went into a comment with the statement around it is for a person."""
    for use in ledger.facts.uses:
        outer = next((span for span in ledger.broken if contains(span, use.found.span)), None)
        if outer is None:
            continue
        code, note = ledger.broken[outer]
        for found in (use.found, *(argument.found for argument in use.arguments)):
            decision = ledger.decisions[found]
            if decision.fidelity in {Fidelity.EXACT, Fidelity.APPROXIMATE}:
                ledger.decisions[found] = replace(
                    decision, fidelity=Fidelity.MANUAL, code=code, target="", note=note
                )


def undelete(ledger: Ledger) -> None:
    """Take variables that no longer exist out of `del` statements."""
    for statement in ledger.facts.statements:
        kept = [
            name
            for name in statement.deletes
            if (name, ledger.owner_of(name, statement.scope)) not in ledger.removed
        ]
        if len(kept) == len(statement.deletes) or _is_settled(ledger, statement):
            continue
        if kept:
            ledger.replace_statement(statement.span, f"del {', '.join(kept)}")
        else:
            ledger.remove_statement(statement.span)


def _is_settled(ledger: Ledger, statement: Statement) -> bool:
    if statement.span in ledger.broken:
        return True
    edit = ledger.edits.get(statement.span)
    if edit is not None and edit.is_statement:
        return True
    return any(contains(span, statement.span) for span in ledger.broken)


def _lost_name(ledger: Ledger, statement: Statement) -> tuple[str, str] | None:
    for name in statement.loads:
        owner = ledger.owner_of(name, statement.scope)
        if owner is None or (name, owner) not in ledger.removed:
            continue
        if _loads_only_in_expression_edits(ledger, statement, name):
            continue
        return name, ledger.removed[(name, owner)]
    return None


def _loads_only_in_expression_edits(ledger: Ledger, statement: Statement, name: str) -> bool:
    """Say whether every mention of a lost name in a statement is replaced by an expression edit."""
    inner = [
        edit
        for edit in ledger.edits.values()
        if not edit.is_statement and contains(statement.span, edit.span)
    ]
    if not inner:
        return False
    rooted = [
        use for use in ledger.facts.uses if use.root == name and use.statement == statement.span
    ]
    mentions = ledger.mentions(statement.span, name)
    return len(rooted) == mentions and all(use.found.span in ledger.edits for use in rooted)

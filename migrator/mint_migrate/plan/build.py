"""Build the plan of a script: run the rules, decide what is left, check that nothing is missing."""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.facts import Call, Facts, Statement
from mint_migrate.model.plan import Decision, Fidelity, Found
from mint_migrate.model.script import Edit, Plan, SftScript
from mint_migrate.model.source import Options, Span, contains
from mint_migrate.plan.names import allocate_names
from mint_migrate.plan.survival import drop_orphans, is_still_used, names_in
from mint_migrate.plan.version import infer_version
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.leftovers import decide_call, decide_import, decide_override, decide_use
from mint_migrate.rules.trl.sft_arguments import TRAINER
from mint_migrate.rules.trl.sft_trainer import plan_sft
from mint_migrate.tables.lookup import Tables


def build_plan(facts: Facts, tables: Tables, options: Options) -> Plan:
    """Decide about everything in *facts*. The decisions cover the found things one to one."""
    version, evidence = infer_version(facts, tables, options)
    trainers = [call for call in facts.calls if tables.canonical(call.qualified) == TRAINER]
    first_problem: Blocked | None = None
    for trainer in trainers:
        ledger = Ledger(facts=facts, tables=tables, options=options, version=version)
        try:
            script, imports = plan_sft(ledger, trainer, allocate_names(facts))
            return _finish(ledger, trainer, script, imports, evidence)
        except Blocked as problem:
            first_problem = first_problem or problem
    return _unconverted(facts, tables, options, version, evidence, first_problem)


def _finish(
    ledger: Ledger,
    trainer: Call,
    script: SftScript,
    imports: frozenset[str],
    evidence: tuple[str, ...],
) -> Plan:
    """Decide what the trainer's rule did not, and put the plan together.

    Raises:
        Blocked: what became a comment is needed for training.
    """
    facts = ledger.facts
    partial = False
    for call in facts.calls:
        if call.found not in ledger.decisions:
            partial |= decide_call(ledger, call)
    for use in facts.uses:
        if use.found not in ledger.decisions:
            decide_use(ledger, use)
    for override in facts.overridden:
        decide_override(ledger, override)
        partial = True
    _break_dependents(ledger)
    _check_inputs(ledger, trainer)
    _decide_lost_uses(ledger)
    _undelete(ledger)
    orphans = drop_orphans(ledger)
    dropped = (*_decide_imports(ledger), *orphans)
    return Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger, facts),
        edits=_edits(ledger),
        script=script,
        imports=tuple(sorted(imports)),
        dropped_imports=dropped,
        summary=_summary(ledger, trainer),
        partial=partial,
        notices=tuple(ledger.notices),
    )


def _break_dependents(ledger: Ledger) -> None:
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
    for name in statement.binds:
        owner = ledger.owner_of(name, statement.scope)
        if owner is None:
            continue
        others = [
            item
            for item in ledger.facts.bindings
            if item.name == name
            and item.scope == owner
            and item.statement != statement.span
            and item.statement not in ledger.broken
            and item.kind not in {"parameter", "delete"}
        ]
        if not others:
            ledger.removed.setdefault((name, owner), code)


def _check_inputs(ledger: Ledger, trainer: Call) -> None:
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
    inputs = _training_inputs(ledger, trainer)
    for statement in facts.statements:
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


def _training_inputs(ledger: Ledger, trainer: Call) -> set[tuple[str, int | None]]:
    """Return (name, scope) of everything that reaches the training call and its configuration."""
    facts = ledger.facts
    inputs = {
        (name, ledger.owner_of(name, trainer.scope))
        for span, edit in ledger.edits.items()
        if edit.text and _is_conversion(ledger, span)
        for name in names_in(edit.text)
    }
    pending = True
    while pending:
        size = len(inputs)
        for statement in facts.statements:
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


def _decide_lost_uses(ledger: Ledger) -> None:
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


def _undelete(ledger: Ledger) -> None:
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


def _decide_imports(ledger: Ledger) -> tuple[tuple[Span, str], ...]:
    """Decide each import: kept where the result still uses the name."""
    dropped = []
    for item in ledger.facts.imports:
        kept = is_still_used(ledger, item.bound, item.scope)
        decide_import(ledger, item, kept)
        if not kept:
            dropped.append((item.statement, item.bound))
    return tuple(dropped)


def _edits(ledger: Ledger) -> tuple[Edit, ...]:
    """Return all edits, broken statements as comments, in source order."""
    edits = dict(ledger.edits)
    for span, remarks in ledger.remarks.items():
        if span in edits:
            comments = tuple(dict.fromkeys((*remarks, *edits[span].comments)))
            edits[span] = replace(edits[span], comments=comments)
    for span, (code, note) in ledger.broken.items():
        for inner in [item for item in edits if contains(span, item)]:
            del edits[inner]
        edits[span] = Edit(
            span=span,
            text=None,
            is_statement=True,
            comments=(f"# TODO[mint-migrate {code}] {note}", *_commented(ledger.text_of(span))),
        )
    outer = list(ledger.broken)
    return tuple(
        edits[span]
        for span in sorted(edits)
        if not any(contains(other, span) and other != span for other in outer)
    )


def _commented(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.split("\n")]


def _summary(ledger: Ledger, trainer: Call) -> tuple[str, ...]:
    """Return the sentences of the module docstring."""
    lines = []
    seen: set[tuple[str, str]] = set()
    listed = [(found.span.line, code, sentence) for found, code, sentence in ledger.differences]
    for line, code, sentence in sorted(listed):
        if (code, sentence) not in seen:
            seen.add((code, sentence))
            lines.append(f"line {line}, {code}: {sentence}")
    return tuple(lines)


def _ordered(ledger: Ledger, facts: Facts) -> tuple[Decision, ...]:
    found = all_found(facts)
    missing = [item for item in found if item not in ledger.decisions]
    assert not missing, f"no decision for {missing}"
    extra = set(ledger.decisions) - set(found)
    assert not extra, f"decided but never found: {extra}"
    return tuple(ledger.decisions[item] for item in found)


def all_found(facts: Facts) -> list[Found]:
    """Return every found thing once, by position."""
    found: list[Found] = [item.found for item in facts.imports]
    for call in facts.calls:
        found.append(call.found)
        for argument in call.arguments:
            found.append(argument.found)
            found.extend(argument.elements)
    for use in facts.uses:
        found.append(use.found)
        found.extend(argument.found for argument in use.arguments)
    found.extend(item.found for item in facts.overridden)
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda item: (item.span, item.kind, item.name))


def _unconverted(
    facts: Facts,
    tables: Tables,
    options: Options,
    version: str,
    evidence: tuple[str, ...],
    problem: Blocked | None,
) -> Plan:
    """Every item of a script that cannot be converted is for a person, with the reason."""
    code, note = ("MM201", "") if problem is None else (problem.code, problem.note)
    if problem is None:
        names = sorted(
            {tables.canonical(call.qualified) for call in facts.calls if _is_trainer(call)}
        )
        bases = sorted({item.base for item in facts.overridden})
        if bases:
            code = "MM202"
            note = f"a subclass of `{bases[0]}` is trained; its overridden methods need a person"
        elif names:
            note = f"{', '.join(f'`{name}`' for name in names)} has no conversion yet"
        else:
            note = "no trainer that can be converted is built here"
    decisions = []
    for found in all_found(facts):
        row = tables.row(found.name, None)
        own = (
            row if row is not None and row.fidelity is Fidelity.MANUAL and problem is None else None
        )
        decisions.append(
            Decision(
                found=found,
                fidelity=Fidelity.MANUAL,
                row=row.id if row is not None else None,
                code=own.code if own is not None and own.code else code,
                note=own.note if own is not None else note,
            )
        )
    return Plan(
        version=version,
        evidence=evidence,
        decisions=tuple(decisions),
        notices=(f"{code}: {note}",),
    )


def _is_trainer(call: Call) -> bool:
    return call.qualified.endswith("Trainer")

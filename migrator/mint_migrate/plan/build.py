"""Build the plan of a script: run the rules, decide what is left, check that nothing is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mint_migrate.model.facts import Call, Facts
from mint_migrate.model.plan import Decision, Fidelity, Found
from mint_migrate.model.script import Edit, Names, Plan, TrainingScript
from mint_migrate.model.source import Options, Span, contains
from mint_migrate.plan.annotations import replace_annotations
from mint_migrate.plan.broken import (
    break_dependents,
    check_inputs,
    decide_lost_uses,
    undelete,
)
from mint_migrate.plan.names import allocate_names
from mint_migrate.plan.survival import drop_orphans, is_still_used
from mint_migrate.plan.version import infer_version
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.leftovers import (
    decide_call,
    decide_foreign,
    decide_import,
    decide_override,
    decide_use,
)
from mint_migrate.rules.processes import plan_processes
from mint_migrate.rules.trl.apart import is_branch
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.options.opened import option_behind
from mint_migrate.rules.trl.registry import kind_of
from mint_migrate.rules.trl.trainer import plan_trainer
from mint_migrate.tables.lookup import Tables


@dataclass(frozen=True, slots=True)
class _Training:
    """One trainer that is converted."""

    kind: TrainerKind
    call: Call
    script: TrainingScript
    imports: frozenset[str]


def build_plan(facts: Facts, tables: Tables, options: Options) -> Plan:
    """Decide about everything in *facts*. The decisions cover the found things one to one."""
    version, evidence = infer_version(facts, tables, options)
    ledger = Ledger(facts=facts, tables=tables, options=options, version=version)
    blocked: list[tuple[Call, Blocked]] = []
    trainings: list[_Training] = []
    for call in facts.calls:
        kind = kind_of(tables.canonical(call.qualified))
        if kind is None or call.found in ledger.decisions or is_branch(ledger, call):
            continue
        try:
            ledger, training = _plan_one(ledger, kind, call, _names(facts, kind, trainings))
        except Blocked as problem:
            blocked.append((call, problem))
            continue
        trainings.append(training)
    if trainings:
        try:
            return _finish(ledger, trainings, blocked, evidence)
        except Blocked as problem:
            return _unconverted(facts, tables, options, version, evidence, problem)
    first = blocked[0][1] if blocked else None
    return _unconverted(facts, tables, options, version, evidence, first)


def _plan_one(
    ledger: Ledger, kind: TrainerKind, call: Call, names: Names
) -> tuple[Ledger, _Training]:
    """Plan one trainer; an option that is known too late for its loop counts as not given.

    Raises:
        Blocked: the trainer cannot be converted.
    """
    fixed: frozenset[str] = frozenset()
    while True:
        attempt = ledger.copy()
        attempt.fixed_options = fixed
        try:
            planner = kind.whole(attempt, call) or plan_trainer
            script, imports = planner(attempt, kind, call, names)
        except Blocked as problem:
            option = option_behind(problem, fixed)
            if option is None:
                raise
            fixed |= {option}
            continue
        return attempt, _Training(kind, call, script, imports)


def _names(facts: Facts, kind: TrainerKind, others: Iterable[_Training]) -> Names:
    taken = [name for other in others for name in other.script.names.values()]
    return allocate_names(facts, kind.roles, kind.short, taken)


def _finish(
    ledger: Ledger,
    trainings: list[_Training],
    blocked: list[tuple[Call, Blocked]],
    evidence: tuple[str, ...],
) -> Plan:
    """Decide what the trainers' rules did not, and put the plan together.

    A trainer that is not converted beside others becomes a comment under its own reason.

    Raises:
        Blocked: what became a comment is needed for training.
    """
    facts = ledger.facts
    partial = bool(blocked)
    for call, problem in blocked:
        ledger.decide_call(call, Fidelity.MANUAL, problem.code, problem.note)
        ledger.mark_broken(call.statement, problem.code, problem.note)
        ledger.notices.append(f"{problem.code}: {problem.note}")
    needed = plan_processes(ledger)
    for call in facts.calls:
        if call.found not in ledger.decisions:
            partial |= decide_call(ledger, call)
    for use in facts.uses:
        if use.found not in ledger.decisions:
            decide_use(ledger, use)
    for override in facts.overridden:
        if override.found not in ledger.decisions:
            decide_override(ledger, override)
            partial = True
    partial |= decide_foreign(ledger)
    break_dependents(ledger)
    for training in trainings:
        check_inputs(ledger, training.call)
    decide_lost_uses(ledger)
    undelete(ledger)
    replace_annotations(ledger)
    orphans = drop_orphans(ledger)
    dropped = (*_decide_imports(ledger), *orphans)
    kinds = list(dict.fromkeys(training.kind.headline for training in trainings))
    return Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger, facts),
        edits=_edits(ledger),
        scripts=tuple(training.script for training in trainings),
        headline=" and ".join([kinds[0], *(f"{kind[0].lower()}{kind[1:]}" for kind in kinds[1:])]),
        trainers=tuple(
            dict.fromkeys(training.kind.trainer.removeprefix("trl.") for training in trainings)
        ),
        imports=tuple(sorted(needed.union(*(training.imports for training in trainings)))),
        dropped_imports=dropped,
        summary=_summary(ledger),
        partial=partial,
        notices=tuple(dict.fromkeys(ledger.notices)),
    )


def _decide_imports(ledger: Ledger) -> tuple[tuple[Span, str], ...]:
    """Decide each import: kept where the result still uses the name."""
    dropped = []
    for item in ledger.facts.imports:
        kept = item.bound not in ledger.provided and is_still_used(ledger, item.bound, item.scope)
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


def _summary(ledger: Ledger) -> tuple[str, ...]:
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
    for batch in facts.batches:
        found.append(batch.found)
        found.extend(argument.found for argument in batch.arguments)
    found.extend(item.found for item in facts.entries)
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
            known = tables.row(names[0]) if len(names) == 1 else None
            if known is not None and known.note and known.fidelity is Fidelity.MANUAL:
                code, note = known.code or code, f"`{names[0]}` has no conversion: {known.note}"
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

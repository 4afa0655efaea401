"""Build the plan of a Python file that uses verl or OpenRLHF as a library."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from mint_migrate.model.facts import Facts
from mint_migrate.model.library_script import Library, LibraryScript
from mint_migrate.model.plan import Decision, Fidelity, Found
from mint_migrate.model.script import Plan
from mint_migrate.model.source import Options, Span, contains
from mint_migrate.plan.build import all_found
from mint_migrate.plan.survival import is_still_used
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.leftovers import KEPT
from mint_migrate.rules.library.decide import (
    decide_batch,
    decide_call,
    decide_import,
    decide_override,
    makes_worker,
)
from mint_migrate.rules.library.extract import trained_here
from mint_migrate.rules.library.ledger import LibraryLedger
from mint_migrate.rules.library.names import (
    LIBRARIES,
    WORKER_CLASS,
    Place,
    annotation_name,
    own_name,
    package_of,
    place_of,
)
from mint_migrate.rules.library.roles import Role, role_of
from mint_migrate.rules.names import check_free
from mint_migrate.tables.lookup import Tables

PROMISE = "The same code on MinT: batches and workers of verl are classes of this file"
STAYS = {
    "verl": "MM360: it builds data or scores for a training that is started elsewhere and stays "
    "as it is; convert the launcher",
    "openrlhf": "MM440: it scores or plays an agent for a training that is started elsewhere and "
    "stays as it is; convert the command",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryPlan:
    """The plan, and the text of the functions the result gets; None where nothing is written."""

    plan: Plan
    functions: str | None


def library_of(facts: Facts) -> str | None:
    """Return the framework that a file uses as a library, the one it imports first."""
    for item in facts.imports:
        if package_of(item.qualified) in LIBRARIES:
            return package_of(item.qualified)
    return None


def build_library_plan(
    facts: Facts, tables: Tables, options: Options, framework: str, library: Library
) -> LibraryPlan:
    """Decide about everything in *facts*. The decisions cover the found things one to one."""
    version, evidence = _version(framework, tables, options)

    def start() -> LibraryLedger:
        return LibraryLedger(
            facts=facts, tables=tables, options=options, version=version, library=library
        )

    ledger = start()
    role = role_of(facts, tables)
    if role is Role.STAYS:
        return _kept(ledger, evidence, framework)
    if role is Role.TRAINS:
        return _trained(ledger, evidence, framework)
    try:
        return _converted(ledger, evidence)
    except Blocked as problem:
        return _unconverted(start(), evidence, problem)


def _version(framework: str, tables: Tables, options: Options) -> tuple[str, tuple[str, ...]]:
    known = options.launched_version
    if known is not None and known[0] == framework:
        return known[1], (known[2],)
    if options.source_version is not None:
        return options.source_version, ("given with --source-version",)
    recorded = tables.releases(framework)
    newest = recorded[-1] if recorded else {"verl": "0.9.1", "openrlhf": "0.8.0"}[framework]
    return newest, ("Python names are looked up in the newest recorded release",)


def _kept(ledger: LibraryLedger, evidence: tuple[str, ...], framework: str) -> LibraryPlan:
    for found in all_found(ledger.facts):
        row = ledger.tables.row(found.name)
        ledger.exact(found, row, KEPT, row.note if row is not None else "")
    plan = Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger),
        notices=(STAYS[framework],),
    )
    return LibraryPlan(plan=plan, functions=None)


def _trained(ledger: LibraryLedger, evidence: tuple[str, ...], framework: str) -> LibraryPlan:
    """Everything is for a person, each thing with its own reason and its place in the result."""
    code, way_out = {
        "verl": ("MM365", "convert the launcher that starts this script, which writes the loop"),
        "openrlhf": ("MM441", "convert the command that starts this script, which writes the loop"),
    }[framework]
    for found in all_found(ledger.facts):
        row = ledger.tables.row(found.name)
        is_open = row is not None and row.fidelity is Fidelity.MANUAL
        note = row.note if row is not None and is_open else f"nothing is written here: {way_out}"
        own = row.code if row is not None and is_open else None
        ledger.decide(
            found,
            Fidelity.MANUAL,
            row=row,
            code=own or code,
            target=row.to if row is not None and is_open else "",
            note=note,
        )
    plan = Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger),
        notices=(f"{code}: {way_out}", *trained_here(ledger.facts, ledger.tables)),
    )
    return LibraryPlan(plan=plan, functions=None)


def _unconverted(ledger: LibraryLedger, evidence: tuple[str, ...], problem: Blocked) -> LibraryPlan:
    for found in all_found(ledger.facts):
        ledger.manual(found, problem.code, problem.note, ledger.tables.row(found.name))
    plan = Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger),
        notices=(f"{problem.code}: {problem.note}",),
    )
    return LibraryPlan(plan=plan, functions=None)


def _converted(ledger: LibraryLedger, evidence: tuple[str, ...]) -> LibraryPlan:
    """Keep the user's code on classes and functions that the result defines.

    Raises:
        Blocked: a name that the result needs means something else in the script.
    """
    facts = ledger.facts
    script, functions = _functions(ledger)
    imports = ledger.library.imports(functions)
    check_free(ledger, 0, imports)
    _point_references(ledger, script)
    _decide_uses(ledger)
    dropped = [
        (item.statement, item.bound)
        for item in facts.imports
        if not decide_import(ledger, item, used=_is_used(ledger, item.bound, item.scope))
    ]
    if not functions.strip():
        return _nothing_to_write(ledger, evidence)
    plan = Plan(
        version=ledger.version,
        evidence=evidence,
        decisions=_ordered(ledger),
        edits=tuple(ledger.edits[span] for span in sorted(ledger.edits)),
        scripts=(script,),
        headline="Batches and workers of verl",
        trainers=("DataProto",),
        imports=imports,
        dropped_imports=tuple(dropped),
        summary=_summary(ledger),
        promise=PROMISE,
        partial=any(item.fidelity is Fidelity.MANUAL for item in ledger.decisions.values()),
        notices=tuple(dict.fromkeys(ledger.notices)),
    )
    return LibraryPlan(plan=plan, functions=functions)


def _decide_uses(ledger: LibraryLedger) -> None:
    """Decide calls, objects of other packages, batches and overridden methods."""
    facts = ledger.facts
    for call in facts.calls:
        if call.found not in ledger.decisions:
            decide_call(ledger, call)
    for use in facts.uses:
        for found in (use.found, *(argument.found for argument in use.arguments)):
            if found not in ledger.decisions:
                ledger.exact(found, None, KEPT)
    for batch in facts.batches:
        decide_batch(ledger, batch)
    for entry in facts.entries:
        ledger.exact(entry.found, None, KEPT, "the script's own dictionary stays")
    for override in facts.overridden:
        decide_override(ledger, override)


def _nothing_to_write(ledger: LibraryLedger, evidence: tuple[str, ...]) -> LibraryPlan:
    """Nothing of the file has a counterpart that is written out: it stays as it is."""
    plan = Plan(version=ledger.version, evidence=evidence, decisions=_ordered(ledger))
    return LibraryPlan(plan=plan, functions=None)


def _functions(ledger: LibraryLedger) -> tuple[LibraryScript, str]:
    """Return what the result defines for the script, under names that are free."""
    facts = ledger.facts
    rows = (ledger.tables.row(item.qualified) for item in facts.references)
    wanted = {
        name for row in rows if row is not None and (name := own_name(ledger, row)) is not None
    }
    has_worker = any(use.owner != "verl.DataProto" for use in facts.batches)
    wanted |= {name for item in facts.references if (name := annotation_name(ledger, item))}
    if has_worker or WORKER_CLASS in wanted:
        wanted |= {WORKER_CLASS, "datums_from_batch"}
    if "advantages" in facts.text and "DataProto" in wanted:
        wanted.add("datums_from_batch")
    attributes = {f".{name}" for name in _attributes(facts)}
    script = LibraryScript(names={}, wanted=frozenset(wanted | attributes))
    emitted = ledger.library.defined(ledger.library.render(script))
    taken = _taken(ledger, emitted)
    names = {name: f"verl_{name.lstrip('_')}" if name in taken else name for name in emitted}
    names |= {own: bound for own, bound in _aliases(ledger).items() if own in names}
    script = LibraryScript(names=names, wanted=script.wanted)
    return script, ledger.library.render(script)


def _attributes(facts: Facts) -> Iterable[str]:
    tree = ast.parse(facts.text)
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _aliases(ledger: LibraryLedger) -> dict[str, str]:
    """Return what the script itself calls the classes and functions of the result."""
    found: dict[str, set[str]] = {}
    for item in ledger.facts.imports:
        row = ledger.tables.row(item.qualified)
        same = ledger.tables.canonical(item.qualified).rsplit(".", 1)[-1]
        if row is not None and row.to == same and place_of(ledger, item.qualified) is Place.OWN:
            found.setdefault(row.to, set()).add(item.bound)
    return {own: next(iter(bound)) for own, bound in found.items() if len(bound) == 1}


def _taken(ledger: LibraryLedger, emitted: Iterable[str]) -> frozenset[str]:
    """Return the names that mean something else in the user's module."""
    replaced = {
        item.bound
        for item in ledger.facts.imports
        if package_of(item.qualified) in LIBRARIES
        and place_of(ledger, item.qualified) is Place.OWN
        and ledger.tables.canonical(item.qualified).rsplit(".", 1)[-1] == item.bound
    }
    bound = {item.name for item in ledger.facts.bindings if item.scope == 0}
    return frozenset(emitted) & (bound - replaced)


def _point_references(ledger: LibraryLedger, script: LibraryScript) -> None:
    """Name the result's own classes and functions wherever the script names them otherwise."""
    built = [call.found.span for call in ledger.facts.calls if makes_worker(ledger, call)]
    for item in ledger.facts.references:
        if any(span.line == item.span.line and span.column == item.span.column for span in built):
            continue
        row = ledger.tables.row(item.qualified)
        name = annotation_name(ledger, item)
        if name is None and (row is None or place_of(ledger, item.qualified) is not Place.OWN):
            _mark_open(ledger, item.qualified, item.span)
            continue
        method = "" if name or row is None else row.to.partition(".")[2]
        own = name or (own_name(ledger, row) if row is not None else None) or ""
        shown = script.names.get(own, own) + (f".{method}" if method else "")
        if ledger.text_of(item.span) != shown:
            ledger.replace_expression(item.span, shown)


def _mark_open(ledger: LibraryLedger, qualified: str, span: Span) -> None:
    """Put a TODO above a statement that names what has no counterpart and calls nothing."""
    if place_of(ledger, qualified) is not Place.OPEN:
        return
    if any(call.found.span.line == span.line for call in ledger.facts.calls):
        return
    around = [item for item in ledger.facts.statements if contains(item.span, span)]
    if around:
        row = ledger.tables.row(qualified)
        note = row.note if row is not None else f"`{qualified}` is not in the tables"
        ledger.mark(max(around, key=lambda item: item.span).span, "MM364", note)


def _is_used(ledger: LibraryLedger, bound: str, scope: int) -> bool:
    """Say whether what stays of the script reads an imported name that the result does not bind."""
    names = {
        item.qualified
        for item in ledger.facts.references
        if item.bound == bound and annotation_name(ledger, item) is None
    }
    left = [name for name in names if place_of(ledger, name) is not Place.OWN]
    return bool(left) and is_still_used(ledger, bound, scope)


def _summary(ledger: LibraryLedger) -> tuple[str, ...]:
    listed: dict[tuple[str, str], Found] = {}
    for found, code, sentence in ledger.differences:
        listed.setdefault((code, sentence), found)
    return tuple(
        f"line {found.span.line}, {code}: {sentence}" for (code, sentence), found in listed.items()
    )


def _ordered(ledger: LibraryLedger) -> tuple[Decision, ...]:
    found = all_found(ledger.facts)
    missing = [item for item in found if item not in ledger.decisions]
    assert not missing, f"no decision for {missing}"
    extra = set(ledger.decisions) - set(found)
    assert not extra, f"decided but never found: {extra}"
    return tuple(ledger.decisions[item] for item in found)

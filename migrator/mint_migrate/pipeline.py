"""The stages in order: analyse, plan, render, rewrite, check.

Reading and writing files is the caller's part.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace

from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.text import parsed
from mint_migrate.check import check_output
from mint_migrate.detect import defines_trainer, mentions_source_package, scores_responses
from mint_migrate.model.facts import Facts
from mint_migrate.model.outcome import Failed, Migrated, Outcome, Skipped
from mint_migrate.model.plan import Decision
from mint_migrate.model.script import Edit, Plan
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.plan.build import build_plan
from mint_migrate.suppress import Suppressions, suppressions
from mint_migrate.tables.lookup import Tables

FRAMEWORK_PACKAGES = frozenset({"trl", "unsloth"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a text comes from that is not a script as its user wrote it."""

    reword: Callable[[str], str]
    """Names the user's own places in a sentence that names lines of the text."""
    keeps_imports: bool = False
    """Imports stay where they are, although the same ones are added further up."""


def migrate_source(
    source: Source, options: Options, tables: Tables, origin: Origin | None = None
) -> Outcome:
    """Migrate one script. Nothing is read, written or executed."""
    if not mentions_source_package(source.content) and not defines_trainer(source.content):
        return _called_elsewhere(source) or _no_framework(source)
    try:
        tree = parsed(source.text)
    except SyntaxError as error:
        return _does_not_parse(source, error)
    facts = collect(source.text, tree)
    if not any(item.qualified.split(".", 1)[0] in FRAMEWORK_PACKAGES for item in facts.imports):
        from mint_migrate.plan.library import library_of

        framework = library_of(facts)
        if framework is not None:
            return _migrate_library(source, tree, facts, options, tables, framework)
        own = _own_trainer(tree, tables)
        return _no_framework(source) if own is None else _own_class(source, own)
    plan = build_plan(facts, tables, options)
    plan = _suppress(plan, suppressions(source.text))
    if origin is not None:
        plan = _reworded(plan, origin)
    text = None
    if plan.scripts:
        text = _write(source, tree, facts, plan, origin)
        problems = check_output(text, source.text, plan, tables)
        if problems:
            return _failed_checks(source, problems)
    return Migrated(
        source=source,
        framework="trl",
        version=plan.version,
        evidence=plan.evidence,
        decisions=plan.decisions,
        text=text,
        partial=plan.partial,
        notices=plan.notices,
    )


def _write(
    source: Source, tree: ast.Module, facts: Facts, plan: Plan, origin: Origin | None
) -> str:
    from mint_migrate.render.script import render_functions
    from mint_migrate.rewrite.module import rewrite_module

    name = source.path.replace("\\", "/").rsplit("/", 1)[-1]
    trainers = ", ".join(plan.trainers)
    headline = f"{plan.headline} on MinT, converted from {name} (TRL {plan.version}, {trainers})."
    functions = "\n\n".join(render_functions(script) for script in plan.scripts)
    return rewrite_module(
        source.text,
        tree,
        plan,
        functions,
        headline,
        keeps_imports=origin is not None and origin.keeps_imports,
    )


def _migrate_library(
    source: Source,
    tree: ast.Module,
    facts: Facts,
    options: Options,
    tables: Tables,
    framework: str,
) -> Outcome:
    """Migrate a script that uses verl or OpenRLHF as a library."""
    from mint_migrate.plan.library import build_library_plan
    from mint_migrate.render.library import library
    from mint_migrate.rewrite.module import rewrite_module

    built = build_library_plan(facts, tables, options, framework, library())
    plan = _suppress(built.plan, suppressions(source.text))
    text = None
    if built.functions is not None:
        name = source.path.replace("\\", "/").rsplit("/", 1)[-1]
        headline = f"{plan.headline} on MinT, converted from {name} ({framework} {plan.version})."
        text = rewrite_module(source.text, tree, plan, built.functions, headline)
        problems = check_output(text, source.text, plan, tables)
        if problems:
            return _failed_checks(source, problems)
    return Migrated(
        source=source,
        framework=framework,
        version=plan.version,
        evidence=plan.evidence,
        decisions=plan.decisions,
        text=text,
        partial=plan.partial,
        notices=plan.notices,
    )


def _reworded(plan: Plan, origin: Origin) -> Plan:
    """Name the user's places wherever the plan names lines."""

    def comment(text: str) -> str:
        return origin.reword(text) if text.startswith("# TODO[mint-migrate") else text

    return replace(
        plan,
        decisions=tuple(replace(item, note=origin.reword(item.note)) for item in plan.decisions),
        edits=tuple(
            replace(edit, comments=tuple(map(comment, edit.comments))) for edit in plan.edits
        ),
        summary=tuple(map(origin.reword, plan.summary)),
        notices=tuple(map(origin.reword, plan.notices)),
    )


def _suppress(plan: Plan, accepted: Suppressions) -> Plan:
    def mark(decision: Decision) -> Decision:
        if decision.code is None or not accepted.covers(decision.code, decision.found.span):
            return decision
        return replace(decision, suppressed=True)

    decisions = tuple(mark(decision) for decision in plan.decisions)
    edits = tuple(_without_accepted(edit, decisions) for edit in plan.edits)
    return replace(plan, decisions=decisions, edits=edits)


def _without_accepted(edit: Edit, decisions: tuple[Decision, ...]) -> Edit:
    """Take the markers of accepted outcomes off a statement that stays."""
    if edit.text is None:
        return edit
    open_markers = [
        (f"# TODO[mint-migrate {item.code}]", item.note)
        for item in decisions
        if not item.suppressed
    ]
    accepted = [
        (f"# TODO[mint-migrate {item.code}]", item.note) for item in decisions if item.suppressed
    ]
    comments = tuple(
        comment
        for comment in edit.comments
        if not any(comment.startswith(start) and comment.endswith(note) for start, note in accepted)
        or any(comment.startswith(start) and comment.endswith(note) for start, note in open_markers)
    )
    return replace(edit, comments=comments)


def _no_framework(source: Source) -> Skipped:
    return Skipped(path=source.path, code="MM107", reason="no framework used that can be migrated")


def _called_elsewhere(source: Source) -> Skipped | None:
    """Return what is said of a file that scores or plays an agent for a launcher."""
    if not scores_responses(source.content):
        return None
    from mint_migrate.detect.scoring import called_by

    found = called_by(source.text)
    return None if found is None else Skipped(path=source.path, code=found[0], reason=found[1])


def _own_trainer(tree: ast.Module, tables: Tables) -> str | None:
    """Return the name of a class of the file that is called like a trainer of TRL."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef)
            and node.name.endswith("Trainer")
            and f"trl.{node.name}" in tables
        ):
            return node.name
    return None


def _own_class(source: Source, name: str) -> Skipped:
    return Skipped(
        path=source.path,
        code="MM108",
        reason=f"`{name}` is this file's own class, not TRL's; left as it is",
    )


def _does_not_parse(source: Source, error: SyntaxError) -> Failed:
    line, column = error.lineno or 1, error.offset or 1
    return Failed(
        path=source.path,
        code="MM101",
        reason=f"not valid Python: {error.msg}",
        hint="only files that Python itself can parse are migrated",
        span=Span(line=line, column=column, end_line=line, end_column=column + 1),
    )


def _failed_checks(source: Source, problems: tuple[str, ...]) -> Failed:
    shown = "; ".join(problems[:5])
    return Failed(
        path=source.path,
        code="MM901",
        reason=f"the converted script fails its own checks ({shown}); nothing was written",
        hint="this is a bug of mint-migrate: please report it with the script",
    )

"""Makes the entries of an answer from concepts, rows and reason codes."""

from __future__ import annotations

from mint_migrate.assistant.records import Entry, Near
from mint_migrate.tables.concepts import Concept
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row


def concept_entry(concept: Concept, tables: Tables) -> Entry:
    """Return the entry of *concept*, with the rows of its names and the concepts beside it."""
    rows = dict.fromkeys(
        row.id for name in concept.names if "." in name and (row := tables.row(name)) is not None
    )
    return Entry(
        kind="concept",
        id=concept.id,
        title=concept.title,
        framework=concept.framework,
        mint=concept.mint,
        text=(("", concept.explanation),),
        language=concept.language,
        before=concept.before,
        after=concept.after,
        differences=concept.differences,
        pitfalls=concept.pitfalls,
        status=concept.status,
        rows=tuple(rows),
        sources=concept.sources,
        see=tuple(Near(id=name, title=tables.concepts[name].title) for name in concept.see),
    )


def row_entry(name: str, tables: Tables) -> Entry:
    """Return the entry of the row *name*, of all its releases."""
    rows = [row for row in tables.rows_for(name) if row.id == name]
    newest = tables.row(name) or rows[-1]
    text = [("Outcome", _outcome(newest))]
    text += [("Releases", f"{releases(row)}: `{row.to}`") for row in rows if len(rows) > 1]
    if len(rows) == 1 and (newest.since or newest.until):
        text.append(("Releases", releases(newest)))
    if newest.defaults:
        shown = (f"`{value}` from {release}" for release, value in newest.defaults)
        text.append(("Default", ", ".join(shown)))
    if newest.unit:
        text.append(("Unit", newest.unit))
    if newest.note:
        text.append(("", newest.note))
    see: tuple[Near, ...] = ()
    if newest.code is not None:
        see = (Near(id=newest.code, title=tables.rule(newest.code).title),)
    return Entry(
        kind="row",
        id=name,
        title=f"`{name}`",
        framework=name.partition(".")[0],
        mint=newest.to,
        text=tuple(text),
        pitfalls=(newest.pitfall,) if newest.pitfall else (),
        sources=tuple(dict.fromkeys(row.source for row in rows)),
        see=see,
    )


def rule_entry(code: str, tables: Tables) -> Entry:
    """Return the entry of a reason code.

    Raises:
        KeyError: there is no such code.
    """
    rule = tables.rule(code)
    rows = dict.fromkeys(row.id for row in tables if row.code == code)
    return Entry(
        kind="rule",
        id=code,
        title=f"{code}: {rule.title}",
        framework="general",
        mint=rule.writes,
        text=(
            ("Finds", rule.finds),
            ("Writes", rule.writes),
            ("Outcome", str(rule.fidelity)),
            ("What is lost", rule.lost),
            ("What to do", rule.way_out),
        ),
        before=rule.before,
        after=rule.after,
        rows=tuple(rows),
        sources=(rule.source,),
    )


def releases(row: Row) -> str:
    """Return the releases *row* holds for, in words."""
    if row.since and row.until:
        return f"from {row.since} until before {row.until}"
    if row.since:
        return f"from {row.since}"
    return f"before {row.until}" if row.until else "all"


def _outcome(row: Row) -> str:
    code = f" ({row.code})" if row.code else ""
    neutral = ""
    if row.neutral and row.fidelity != "exact":
        neutral = "; exact where it is " + " or ".join(f"`{value}`" for value in row.neutral)
    return f"{row.fidelity}{code}{neutral}"

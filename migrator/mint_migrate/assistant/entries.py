"""Makes the entries of an answer from concepts, rows and reason codes."""

from __future__ import annotations

from mint_migrate.assistant.records import Entry, Near, Source
from mint_migrate.model.plan import Fidelity
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


def at(name: str, tables: Tables, source: Source | None) -> str | None:
    """Return the release in which the row *name* is looked up for a script of *source*.

    Rows of transformers follow the release of TRL's time; those of other packages are the newest.
    """
    package = name.partition(".")[0]
    if source is None:
        return None
    if package == source.package:
        return source.version
    is_beside = (package, source.package) == ("transformers", "trl")
    return tables.transformers_of(source.version) if is_beside else None


def row_entry(name: str, tables: Tables, *, source: Source | None = None, via: str = "") -> Entry:
    """Return the entry of the row *name*, of all its releases.

    Args:
        name: id of a row, or an option that the row of a family answers for.
        tables: the mapping tables.
        source: release whose outcome and default are told; None: the newest one.
        via: how another name led to the row, as a sentence.
    """
    rows = tables.rows_of(name)
    release = at(name, tables, source)
    in_release = tables.row(name, release)
    shown = in_release or tables.row(name) or rows[-1]
    text = [("", via)] if via else []
    if release is not None and in_release is None:
        package = name.partition(".")[0]
        text.append((f"In {package} {release}", "there is no such name"))
    text += [("Outcome", _outcome(shown, tables)), *_history(rows, shown, release)]
    if shown.unit:
        text.append(("Unit", shown.unit))
    if shown.note:
        text.append(("", shown.note))
    if shown.id != name:
        text.append(("", f"The row `{shown.id}` answers for it."))
    text += _of_the_class(name, shown, tables)
    see: tuple[Near, ...] = ()
    if shown.code is not None:
        see = (Near(id=shown.code, title=tables.rule(shown.code).title),)
    return Entry(
        kind="row",
        id=name,
        title=f"`{name}`",
        framework=name.partition(".")[0],
        mint=shown.to,
        text=tuple(text),
        pitfalls=(shown.pitfall,) if shown.pitfall else (),
        sources=tuple(dict.fromkeys(row.source for row in rows)),
        see=see,
    )


def _history(rows: list[Row], shown: Row, release: str | None) -> list[tuple[str, str]]:
    """Return when the name exists, and its defaults, all of them or that of *release*."""
    text = [("Releases", f"{releases(row)}: `{row.to}`") for row in rows if len(rows) > 1]
    if len(rows) == 1 and (shown.since or shown.until):
        text.append(("Releases", releases(shown)))
    if release is not None and shown.exists_in(release):
        default = shown.default_in(release)
        if default is not None:
            text.append(("Default", f"`{default}` in {release}"))
    elif any(row.defaults for row in rows):
        defaults = (f"`{value}` from {since}" for row in rows for since, value in row.defaults)
        text.append(("Default", ", ".join(defaults)))
    return text


def _of_the_class(name: str, shown: Row, tables: Tables) -> list[tuple[str, str]]:
    """Say that the class of a field is left to a person, where the field alone would not be."""
    owner = name.rpartition(".")[0]
    above = tables.row(owner) if "." in owner else None
    if above is None or above.id != owner or above.fidelity is not Fidelity.MANUAL:
        return []
    if shown.fidelity is Fidelity.MANUAL or above.transform != "stop":
        return []
    sentence = f"`{owner}` is left to a person ({above.code}), and with it what it is given."
    return [("The class", sentence)]


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


def _outcome(row: Row, tables: Tables) -> str:
    code = f" ({row.code})" if row.code else ""
    if row.fidelity is Fidelity.EXACT:
        is_other = row.code is not None and tables.rule(row.code).fidelity is not Fidelity.EXACT
        return f"exact; where it cannot be, {row.code}" if is_other else f"exact{code}"
    neutral = ""
    if row.neutral:
        neutral = "; exact where it is " + " or ".join(f"`{value}`" for value in row.neutral)
    return f"{row.fidelity}{code}{neutral}"

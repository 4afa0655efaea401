"""What `ask`, `explain` and `mappings` do: a record to show, and the exit status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mint_migrate.assistant import symbols
from mint_migrate.assistant.answer import answer
from mint_migrate.assistant.answer import explain as explain_code
from mint_migrate.assistant.entries import at, row_entry
from mint_migrate.assistant.records import Answer, Group, Listing, Near, Source
from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row


def ask(question: str, tables: Tables) -> tuple[Answer, int]:
    """Return the answer to *question*; 1 where the tables have none, 0 for an empty question."""
    found = answer(question, tables)
    return found, int(found.kind == "not_found")


def explain(code: str, tables: Tables) -> tuple[Answer, int]:
    """Return the page of a reason code; 1, with the nearest codes, where there is none."""
    found = explain_code(code, tables)
    return found, int(not found.found)


def mappings(
    symbol: str | None, tables: Tables, source: Source | None = None
) -> tuple[Answer | Listing, int]:
    """Return the rows of *symbol*, the entry of a single row, or the list of all tables.

    *symbol* is what `symbols.named` takes; 1 where no row has it, or not in that release.

    Args:
        source: a release; without it, rows of all releases, the newest of each name.
    """
    symbol = symbol.strip() if symbol is not None else ""
    if not symbol:
        return Listing(symbol="", groups=_groups(tables)), 0
    version = source.version if source is not None and source.package == "trl" else None
    found = symbols.named(symbol, tables, version)
    if found is None:
        near = symbols.nearest_symbols(symbol, tables)
        titles = {name: (row.to if (row := tables.row(name)) else "") for name in near}
        return Listing(
            symbol=symbol, nearest=tuple(Near(id=n, title=t) for n, t in titles.items())
        ), 1
    rows = [
        replace(row, id=name)  # that of a family, or of several programs, answers under each name
        for name in found.ids
        if (row := tables.row(name, at(name, tables, source)))
    ]
    if len(found.ids) == 1:
        entry = row_entry(found.ids[0], tables, source=source, via=found.via)
        return Answer(question=symbol, entries=(entry,)), int(not rows)
    bases = tables.bases_in(tables.canonical(symbol), version)
    return Listing(symbol=symbol, rows=tuple(rows), bases=bases), int(not rows)


def _newest(rows: Iterable[Row], tables: Tables) -> list[Row]:
    """Return one row for each name, the newest, in the order of the tables."""
    names = dict.fromkeys(row.id for row in rows)
    return [row for name in names if (row := tables.row(name)) is not None]


def _groups(tables: Tables) -> tuple[Group, ...]:
    """Return all owners of rows with the number of their names by outcome."""
    counts: dict[str, dict[Fidelity, int]] = {}
    for row in _newest(tables, tables):
        owner = counts.setdefault(tables.owner(row.id) or row.id, {})
        owner[row.fidelity] = owner.get(row.fidelity, 0) + 1
    return tuple(
        Group(
            name=owner,
            outcomes=tuple((str(each), outcomes.get(each, 0)) for each in Fidelity),
        )
        for owner, outcomes in sorted(counts.items())
    )

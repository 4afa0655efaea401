"""Shows answers on a terminal. Nothing depends on color, and 80 columns suffice."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mint_migrate.assistant import wording
from mint_migrate.assistant.records import Answer, Entry, GuideText, Listing, Near
from mint_migrate.tables.concepts import Concept

WIDTH = 80
INDENT = 4
MAX_ROWS_NAMED = 6


def as_text(record: Answer | Listing, *, width: int = WIDTH) -> str:
    """Return *record* without color, *width* columns wide; links may be longer."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    _draw(console, record)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))


def show(console: Console, record: Answer | Listing) -> None:
    """Write *record* to *console*; without padding where it is not a terminal."""
    if console.is_terminal:
        _draw(console, record)
    else:
        console.file.write(as_text(record, width=console.width))


def _draw(console: Console, record: Answer | Listing) -> None:
    if isinstance(record, Listing):
        _show_listing(console, record)
    elif record.kind == "help":
        console.print(Text(wording.HELP.rstrip()), soft_wrap=True)
    elif record.guide is not None:
        _show_guide(console, record.guide)
    elif record.entries:
        _show_entry(console, record.entries[0])
        if record.entries[1:]:
            _heading(console, "Also about this")
            _pointers(console, [_pointer(each) for each in record.entries[1:]])
    else:
        console.print(Text(wording.not_found(record)))
        _nearest(console, record.nearest)


def _show_entry(console: Console, entry: Entry) -> None:
    console.print(Text.assemble((entry.title, "bold"), f"  [{entry.id}]"))
    if entry.kind != "rule":
        _labelled(console, "In MinT", entry.mint)
    for label, paragraph in entry.text:
        _labelled(console, label, paragraph)
    _code(console, "Before", entry.before)
    _code(console, "After", entry.after)
    _bullets(console, "Differences", entry.differences)
    _bullets(console, "Pitfalls", entry.pitfalls)
    status = wording.status_sentence(entry)
    if status:
        console.print()
        console.print(Text(status))
    if entry.rows:
        shown = ", ".join(entry.rows[:MAX_ROWS_NAMED])
        more = len(entry.rows) - MAX_ROWS_NAMED
        _labelled(console, "Rows", f"{shown}, and {more} more" if more > 0 else shown)
    _links(console, "Sources", entry.sources)
    if entry.see:
        _heading(console, "See also")
        _pointers(console, entry.see)


def _show_guide(console: Console, text: GuideText) -> None:
    console.print(Text(text.guide.title, "bold"))
    console.print()
    console.print(Text(text.guide.summary))
    console.print()
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in (text.guide.framework, "MinT", "today"):
        table.add_column(column, overflow="fold")
    for concept in text.concepts:
        table.add_row(Text(wording.short_names(concept)), Text(concept.mint), Text(concept.status))
    console.print(table)
    example = next(each for each in text.concepts if each.id == text.guide.example)
    _code(console, f"Before ({example.title})", example.before)
    _code(console, "After", example.after)
    for heading, concepts in (
        ("Key differences", text.differences),
        ("Losses", text.losses),
        ("Pitfalls", text.pitfalls),
        ("Not possible on MinT", text.limits),
    ):
        _heading(console, heading)
        _concepts(console, concepts)
    _links(console, "Sources", tuple(dict.fromkeys(each.sources[0] for each in text.concepts)))
    console.print()
    console.print(Text("More on an entry: mint-migrate ask ID, such as " + text.concepts[0].id))


def _show_listing(console: Console, listing: Listing) -> None:
    if listing.groups:
        _show_groups(console, listing)
    elif listing.rows:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for column in ("name", "becomes", "outcome", "code"):
            table.add_column(column, overflow="fold")
        owner = f"{listing.rows[0].id}."
        for row in listing.rows:
            table.add_row(
                row.id.removeprefix(owner), Text(row.to), str(row.fidelity), row.code or ""
            )
        console.print(table)
        console.print(
            Text(f"{len(listing.rows)} rows; mint-migrate mappings NAME tells one of them")
        )
        if listing.bases:
            console.print(Text(f"Inherits the rows of {', '.join(listing.bases)}"))
    else:
        console.print(Text(f"No row of the tables has the name {listing.symbol}."))
        _nearest(console, listing.nearest)


def _show_groups(console: Console, listing: Listing) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("table", overflow="fold")
    for outcome, _ in listing.groups[0].outcomes:
        table.add_column(outcome, justify="right")
    for group in listing.groups:
        table.add_row(group.name, *(str(count) for _, count in group.outcomes))
    console.print(table)
    total = sum(count for group in listing.groups for _, count in group.outcomes)
    console.print(Text(f"{total} names; mint-migrate mappings NAME shows those of one table"))


def _labelled(console: Console, label: str, paragraph: str) -> None:
    console.print()
    console.print(Text.assemble((f"{label}: ", "bold"), paragraph) if label else Text(paragraph))


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _code(console: Console, label: str, code: str) -> None:
    if code:
        _heading(console, label)
        for line in code.rstrip("\n").split("\n"):
            # Code is never wrapped: a line that was cut could not be pasted.
            console.print(Text(f"{'':{INDENT}}{line}".rstrip()), soft_wrap=True)


def _bullets(console: Console, heading: str, items: Sequence[str]) -> None:
    if items:
        _heading(console, heading)
        for item in items:
            _bullet(console, Text(item))


def _bullet(console: Console, text: Text) -> None:
    grid = Table.grid(padding=0)
    grid.add_column(width=2)
    grid.add_column()
    grid.add_row("-", text)
    console.print(grid)


def _concepts(console: Console, concepts: Iterable[Concept]) -> None:
    for concept in concepts:
        _bullet(console, Text.assemble((concept.title, "bold"), f"  [{concept.id}]"))
        console.print(Padding(Text(concept.mint), (0, 0, 0, 2)))


def _links(console: Console, heading: str, links: Sequence[str]) -> None:
    if links:
        _heading(console, heading)
        for link in links:
            console.print(Text(f"  {link}"), soft_wrap=True)


def _nearest(console: Console, nearest: Sequence[Near]) -> None:
    if nearest:
        _heading(console, wording.NEAREST)
        _pointers(console, nearest)


def _pointer(entry: Entry) -> Near:
    return Near(id=entry.id, title=entry.mint if entry.kind == "row" else entry.title)


def _pointers(console: Console, items: Iterable[Near]) -> None:
    for item in items:
        _bullet(console, Text.assemble((item.id, "bold"), f"  {item.title}" if item.title else ""))

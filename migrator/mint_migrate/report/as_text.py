"""The report for a terminal: what needs a person first, then the rest as a table, then counts.

Nothing depends on color, and 80 columns suffice. A finding that needs a person is one line,
`path:line:column: MMnnn message`, so that editors can jump to it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.report import FileReport, Item, Report
from mint_migrate.report import words

WIDTH = 80


def as_text(
    report: Report, *, verbose: bool = False, strict: bool = False, width: int = WIDTH
) -> str:
    """Return the report without color, *width* columns wide."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    show(console, report, verbose=verbose, strict=strict)
    lines = (line.rstrip() for line in stream.getvalue().split("\n"))
    return "\n".join(lines)


def show(console: Console, report: Report, *, verbose: bool = False, strict: bool = False) -> None:
    """Write *report* to *console*.

    Args:
        console: where to; its width and color are respected.
        report: what to show.
        verbose: list the exact items, too.
        strict: approximate items count as work for a person.
    """
    for file in report.files:
        if file.framework is None:
            # Failures of single files are told where they happen, with the offending line.
            if file.status != "failed":
                _line(console, Text(f"{file.source}: {file.message}"))
            continue
        _show_file(console, file, verbose=verbose, strict=strict)
    if any(file.framework is not None for file in report.files) or len(report.files) > 1:
        _line(console, Text(words.counts_line(report), "bold"))


def _show_file(console: Console, file: FileReport, *, verbose: bool, strict: bool) -> None:
    _line(console, Text.assemble((file.source, "bold"), f": {words.heading(file)}"))
    for sentence in words.assumptions(file):
        _bullet(console, sentence)
    _line(console, Text())
    asking = words.asking(file, strict=strict)
    for item in asking:
        _line(console, _finding(file, item))
    if asking:
        _line(console, Text(f"hint: `mint-migrate explain {asking[0].code}` says what to do"))
        _line(console, Text())
    for fidelity in (Fidelity.APPROXIMATE, Fidelity.DROPPED, Fidelity.MANUAL):
        listed = [i for i in file.items if i.decision is fidelity and i not in asking]
        label = "accepted by a comment" if fidelity is Fidelity.MANUAL else fidelity.value
        _show_table(console, label, listed, with_reason=True)
    exact = [item for item in file.items if item.decision is Fidelity.EXACT]
    if verbose:
        _show_table(console, Fidelity.EXACT.value, exact, with_reason=False)
    elif exact:
        verb = "keeps its" if len(exact) == 1 else "keep their"
        _line(console, Text(f"{len(exact)} {verb} exact effect (--verbose lists them)"))
        _line(console, Text())


def _finding(file: FileReport, item: Item) -> Text:
    place = f"{file.source}:{item.line}:{item.column}: "
    what = f"`{words.one_line(item.source_text, 60)}`"
    note = words.one_line(item.note)
    text = Text.assemble((place, "bold"), (f"{item.code or ''} ", "red"), what)
    if item.decision is not Fidelity.MANUAL:
        text.append(f" is {item.decision.value}")
    if note:
        text.append(f": {note}")
    return text


def _show_table(console: Console, label: str, items: Sequence[Item], *, with_reason: bool) -> None:
    if not items:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column(f"{label} ({len(items)})", max_width=28, overflow="fold")
    table.add_column("becomes", max_width=22 if with_reason else None, overflow="fold")
    if with_reason:
        table.add_column("why", overflow="fold")
    for item in items:
        cells = [str(item.line), words.one_line(item.source_text, 56), _target(item)]
        if with_reason:
            mark = " (accepted)" if item.suppressed and item.decision is not Fidelity.MANUAL else ""
            cells.append(f"{item.code or ''}{mark} {words.one_line(item.note)}".strip())
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    _line(console, Text())


def _target(item: Item) -> str:
    return words.one_line(item.target) or "-"


def _bullet(console: Console, sentence: str) -> None:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=3, justify="right")
    grid.add_column(overflow="fold")
    grid.add_row(Text("-"), Text(sentence))
    console.print(grid)


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)

"""The report for a terminal: what needs a person first, then the rest as lists, then counts.

Nothing depends on color, and 80 columns suffice. A finding that needs a person is one line,
`path:line:column: MMnnn message`, so that editors can jump to it.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.report import FileReport, Item, Report
from mint_migrate.report import words

WIDTH = 80
MOST_OF_ONE_REASON = 3
"""More items than this that need a person for the same reason are shown as one and a count."""

MOST_PLACES = 8
"""More places than this of items with one reason are not listed."""


def as_text(
    report: Report, *, verbose: bool = False, strict: bool = False, width: int = WIDTH
) -> str:
    """Return the report without color, *width* columns wide."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    show(console, report, verbose=verbose, strict=strict)
    return stream.getvalue()


def show(console: Console, report: Report, *, verbose: bool = False, strict: bool = False) -> None:
    """Write *report* to *console*.

    Args:
        console: where to; its width and color are respected.
        report: what to show.
        verbose: list the exact items, too.
        strict: approximate items count as work for a person.
    """
    # Failures of single files are told where they happen, with the offending line.
    skipped = [item for item in report.files if item.framework is None and item.status != "failed"]
    reasons = Counter(file.message for file in skipped)
    for file in report.files:
        if file.framework is None:
            if file.status != "failed" and reasons[file.message]:
                _show_skipped(console, file, reasons, verbose=verbose)
            continue
        _show_file(console, file, verbose=verbose, strict=strict)
    if any(file.framework is not None for file in report.files) or len(report.files) > 1:
        _line(console, Text(words.counts_line(report), "bold"))


def _show_skipped(
    console: Console, file: FileReport, reasons: Counter[str], *, verbose: bool
) -> None:
    """Show why nothing was done for a file; of many with one reason the first stands for all."""
    _line(console, Text(f"{file.source}: {file.message}"))
    num_more = reasons[file.message] - 1
    if num_more >= MOST_OF_ONE_REASON and not verbose:
        _line(console, Text(f"  and {num_more} more files for that reason (--verbose lists them)"))
        del reasons[file.message]


def _show_file(console: Console, file: FileReport, *, verbose: bool, strict: bool) -> None:
    _line(console, Text.assemble((file.source, "bold"), f": {words.heading(file)}"))
    for sentence in words.assumptions(file):
        _hang(console, "  - ", Text(sentence))
    _line(console, Text())
    asking = words.asking(file, strict=strict)
    _show_findings(console, file, asking, verbose=verbose)
    for fidelity in (Fidelity.APPROXIMATE, Fidelity.DROPPED, Fidelity.MANUAL):
        listed = [i for i in file.items if i.decision is fidelity and i not in asking]
        label = "accepted by a comment" if fidelity is Fidelity.MANUAL else fidelity.value
        _show_list(console, label, listed)
    exact = [item for item in file.items if item.decision is Fidelity.EXACT]
    if verbose:
        _show_list(console, Fidelity.EXACT.value, exact)
    elif exact:
        verb = "keeps its" if len(exact) == 1 else "keep their"
        _line(console, Text(f"{len(exact)} {verb} exact effect (--verbose lists them)"))
        _line(console, Text())


def _show_findings(
    console: Console, file: FileReport, items: Sequence[Item], *, verbose: bool
) -> None:
    """Show one line for each of *items*; of many with one reason only the first, unless verbose."""
    if not items:
        return
    by_reason: dict[tuple[str | None, str], list[Item]] = {}
    for item in items:
        by_reason.setdefault((item.code, item.note), []).append(item)
    for item in items:
        group = by_reason[item.code, item.note]
        is_folded = len(group) > MOST_OF_ONE_REASON and not verbose
        if not is_folded or item is group[0]:
            _line(console, _finding(file, item))
        if is_folded and item is group[0]:
            places = list(dict.fromkeys(words.line(each) for each in group[1:]))
            shown = ", ".join(places[:MOST_PLACES]) + (", ..." if places[MOST_PLACES:] else "")
            where = f"lines {shown}" if places[0].isdigit() else shown
            more = f"and {len(group) - 1} more for that reason (--verbose lists them)"
            _hang(console, "  ", Text(f"{more}, {where}"))
    _line(console, Text(f"hint: `mint-migrate explain {items[0].code}` says what to do"))
    _line(console, Text())


def _finding(file: FileReport, item: Item) -> Text:
    place = f"{item.path or file.source}:{item.start}: "
    what = f"`{words.label(item, 60)}`"
    note = words.one_line(item.note)
    text = Text.assemble((place, "bold"), (f"{item.code or ''} ", "red"), what)
    if item.decision is not Fidelity.MANUAL:
        text.append(f" is {item.decision.value}")
    if note:
        text.append(f": {note}")
    return text


def _show_list(console: Console, title: str, items: Sequence[Item]) -> None:
    """Show where each of *items* went, and below it why."""
    if not items:
        return
    _line(console, Text(f"{title} ({len(items)})", "bold"))
    for item in items:
        target = words.one_line(item.target)
        what = Text(words.label(item, 60))
        if target:
            what.append(f" -> {target}")
        _hang(console, f"{words.line(item):>5}  ", what)
        reason = f"{item.code or ''} {words.one_line(item.note)}".strip()
        accepted = item.suppressed and item.decision is not Fidelity.MANUAL
        reason += " (accepted by a comment)" if accepted else ""
        if reason:
            _hang(console, " " * 7, Text(reason, "dim"))
    _line(console, Text())


def _hang(console: Console, lead: str, text: Text) -> None:
    """Print *text* behind *lead*, its further lines below its first."""
    width = max(console.width - len(lead), 20)
    for number, line in enumerate(text.wrap(console, width)):
        line.rstrip()
        _line(console, Text.assemble(lead if number == 0 else " " * len(lead), line))


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)

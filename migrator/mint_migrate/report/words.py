"""Wording that the text and the Markdown report share."""

from __future__ import annotations

from collections.abc import Iterable

from mint_migrate.model.plan import Fidelity, Kind
from mint_migrate.model.report import FileReport, Item, Report
from mint_migrate.report.build import needs_person

MEANING = {
    Fidelity.EXACT: "same effect",
    Fidelity.APPROXIMATE: "same purpose, different numbers",
    Fidelity.DROPPED: "no counterpart, and no effect on the result worth keeping",
    Fidelity.MANUAL: "needs a person",
}


def one_line(text: str, max_length: int | None = None) -> str:
    """Return *text* on one line, cut in the middle when it is longer than *max_length*."""
    joined = " ".join(text.split())
    if max_length is None or len(joined) <= max_length:
        return joined
    num_tail = max(0, (max_length - 3) // 3)
    num_head = max_length - 3 - num_tail
    return f"{joined[:num_head]}...{joined[len(joined) - num_tail :]}"


def line(item: Item) -> str:
    """Return the line of *item*, with its cell or its file where there are several."""
    if item.cell:
        return f"cell {item.cell}, line {item.line}"
    return f"{item.path}:{item.line}" if item.path else str(item.line)


def label(item: Item, max_length: int | None = None) -> str:
    """Return the source text of *item* on one line, a call of several lines as `name(...)`."""
    if item.kind is Kind.CALL and "\n" in item.source_text:
        head, _, _ = item.source_text.partition("(")
        return one_line(f"{head}(...)", max_length)
    return one_line(item.source_text, max_length)


def counts_line(report: Report) -> str:
    """Return the last line of a run: how many scripts and arguments, and how they ended."""
    return f"{_scripts(report)}, {arguments(item for file in report.files for item in file.items)}"


def arguments(items: Iterable[Item]) -> str:
    """Return how many items there are and how many ended in which way; the parts add up."""
    listed = tuple(items)
    asking = [item for item in listed if item.decision is Fidelity.MANUAL and not item.suppressed]
    accepted = [item for item in listed if item.decision is Fidelity.MANUAL and item.suppressed]
    parts = [
        f"{sum(item.decision is fidelity for item in listed)} {fidelity.value}"
        for fidelity in (Fidelity.EXACT, Fidelity.APPROXIMATE, Fidelity.DROPPED)
    ]
    parts.append(f"{len(asking)} {'needs' if len(asking) == 1 else 'need'} you")
    if accepted:
        parts.append(f"{len(accepted)} accepted by a comment")
    return f"{_plural(len(listed), 'argument')}: {', '.join(parts)}"


def asking(file: FileReport, *, strict: bool) -> tuple[Item, ...]:
    """Return the items of *file* that are left for a person."""
    return tuple(item for item in file.items if needs_person(item, strict=strict))


def heading(file: FileReport) -> str:
    """Return what was found in *file*: framework, release, result."""
    found = framework(file)
    if file.output is None:
        return f"{found}, nothing written"
    how = "converted in part" if file.status == "partial" else "converted"
    return f"{found}, {how} to {file.output}"


def assumptions(file: FileReport) -> tuple[str, ...]:
    """Return what was assumed about *file*: the evidence for its release, then the notices."""
    return (*(f"{framework(file)}: {sentence}" for sentence in file.evidence), *file.notices)


def framework(file: FileReport) -> str:
    """Return the framework and its release, such as `TRL 1.16.0`."""
    name = {"trl": "TRL"}.get(file.framework or "", file.framework or "")
    return f"{name} {file.framework_version or ''}".strip()


def _scripts(report: Report) -> str:
    migrated = [file for file in report.files if file.framework is not None]
    others = []
    num_failed = sum(file.status == "failed" for file in report.files)
    num_skipped = len([f for f in report.files if f.framework is None and f.status == "unchanged"])
    if num_failed:
        others.append(f"{num_failed} failed")
    if num_skipped:
        others.append(f"{num_skipped} skipped")
    note = f" ({', '.join(others)})" if others else ""
    failed_alone = [f for f in report.files if f.framework is None and f.status == "failed"]
    return _plural(len(migrated) + len(failed_alone) + num_skipped, "script") + note


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Turn the outcomes of a run into one report: flat items in order, counts, messages.

Nothing here depends on where or when the program runs, so the same inputs give the same report.
Items are sorted by position. Counts cover every item, suppressed ones included: an accepted outcome
is still an outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mint_migrate.model.outcome import Failed, Migrated, Outcome, Skipped
from mint_migrate.model.plan import Decision, Fidelity
from mint_migrate.model.report import Counts, FileReport, Item, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a run: how its migration ended, and where the result lies."""

    outcome: Outcome
    output: str | None = None
    """Path of the result, written or not; None where there is none."""
    diff: str = ""
    refusal: Failed | None = None
    """Why the result was not written although there is one."""


def build(entries: Sequence[Entry], *, version: str, target: str = "mint") -> Report:
    """Return the report of *entries*, in their order.

    Args:
        entries: one per file.
        version: release of this program.
        target: what was converted to.
    """
    files = tuple(_file(entry) for entry in entries)
    return Report(
        tool=f"mint-migrate {version}",
        target=target,
        files=files,
        totals=_sum(file.counts for file in files),
    )


def needs_person(item: Item, *, strict: bool = False) -> bool:
    """Say whether *item* is left for a person; with *strict* an approximate one is, too."""
    asking = (Fidelity.MANUAL, Fidelity.APPROXIMATE) if strict else (Fidelity.MANUAL,)
    return item.decision in asking and not item.suppressed


def exit_status(report: Report, *, strict: bool = False) -> int:
    """Return 2 when a file failed, else 1 when a person must act, else 0."""
    if any(file.status == "failed" for file in report.files):
        return 2
    items = (item for file in report.files for item in file.items)
    return int(any(needs_person(item, strict=strict) for item in items))


def _file(entry: Entry) -> FileReport:
    match entry.outcome:
        case Migrated() as migrated:
            return _migrated(entry, migrated)
        case Skipped(path=path, code=code, reason=reason):
            return _without_items(path, "unchanged", f"{code} {reason}")
        case Failed() as failed:
            return _without_items(failed.path, "failed", _sentence(failed))


def _migrated(entry: Entry, migrated: Migrated) -> FileReport:
    items = tuple(sorted((_item(decision) for decision in migrated.decisions), key=_position))
    return FileReport(
        source=migrated.source.path,
        output=entry.output if entry.refusal is None and migrated.text is not None else None,
        status=_status(entry, migrated),
        framework=migrated.framework,
        framework_version=migrated.version,
        evidence=migrated.evidence,
        notices=migrated.notices,
        message=_sentence(entry.refusal) if entry.refusal else "",
        items=items,
        counts=_counts(items),
        diff=entry.diff,
    )


def _status(entry: Entry, migrated: Migrated) -> str:
    if entry.refusal is not None:
        return "failed"
    if migrated.text is None:
        return "unchanged"
    return "partial" if migrated.partial else "converted"


def _without_items(path: str, status: str, message: str) -> FileReport:
    return FileReport(
        source=path,
        output=None,
        status=status,
        framework=None,
        framework_version=None,
        evidence=(),
        notices=(),
        message=message,
        items=(),
        counts=Counts(),
    )


def _item(decision: Decision) -> Item:
    found = decision.found
    return Item(
        code=decision.code,
        row=decision.row,
        kind=found.kind,
        name=found.name,
        line=found.span.line,
        column=found.span.column,
        source_text=found.source_text,
        decision=decision.fidelity,
        target=decision.target,
        note=decision.note,
        suppressed=decision.suppressed,
        cell=found.span.cell,
        path=found.path,
    )


def _position(item: Item) -> tuple[str, int, int, int, str]:
    return item.path, item.cell, item.line, item.column, item.name


def _sentence(failed: Failed) -> str:
    return f"{failed.code} {failed.reason}"


def _counts(items: Iterable[Item]) -> Counts:
    counted = Counter(item.decision for item in items)
    return Counts(
        exact=counted[Fidelity.EXACT],
        approximate=counted[Fidelity.APPROXIMATE],
        dropped=counted[Fidelity.DROPPED],
        manual=counted[Fidelity.MANUAL],
    )


def _sum(counts: Iterable[Counts]) -> Counts:
    listed = tuple(counts)
    return Counts(
        exact=sum(count.exact for count in listed),
        approximate=sum(count.approximate for count in listed),
        dropped=sum(count.dropped for count in listed),
        manual=sum(count.manual for count in listed),
    )

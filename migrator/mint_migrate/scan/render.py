"""The inventory as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from mint_migrate.scan.records import OUTCOMES, UNKNOWN, FileScan, Inventory, Use, counts

VERSION = 1
COLUMNS = (
    *("file", "cell", "line", "column", "kind", "name", "becomes", "code", "target", "row"),
    "source_text",
)
_MOST = 60
"""Characters of a column of the table, the last one excepted."""


def as_table(inventory: Inventory) -> str:
    """Return the uses file by file, aligned, with a count for each file and for all."""
    blocks = [_block(file) for file in inventory.files if file.uses]
    return "\n".join([*blocks, summary(inventory), ""])


def summary(inventory: Inventory) -> str:
    """Return how much was found, and what becomes of it."""
    uses = [use for file in inventory.files for use in file.uses]
    used = sum(bool(file.uses) for file in inventory.files)
    searched = f"{_number(inventory.num_searched, 'file')} searched"
    if not uses:
        return f"{searched}, no source framework used"
    return f"{_number(len(uses), 'use')} in {used} of {searched}: {_counted(uses)}"


def as_csv(inventory: Inventory) -> str:
    """Return one line for each use, under a line with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file in inventory.files:
        for use in file.uses:
            record = {"file": file.path, **_record(use)}
            writer.writerow(["" if record[name] is None else record[name] for name in COLUMNS])
    return text.getvalue()


def as_json(inventory: Inventory, *, tool: str) -> str:
    """Return the inventory as JSON, with counts and what could not be read."""
    uses = [use for file in inventory.files for use in file.uses]
    failed = [file.failure for file in inventory.files if file.failure is not None]
    document = {
        "version": VERSION,
        "tool": tool,
        "files": [
            {
                "path": file.path,
                "uses": [_record(use) for use in file.uses],
                "counts": counts(file.uses),
            }
            for file in inventory.files
            if file.uses
        ],
        "failures": [
            {"path": each.path, "code": each.code, "reason": each.reason}
            for each in (*inventory.failures, *failed)
        ],
        "totals": {"searched": inventory.num_searched, "uses": len(uses), **counts(uses)},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _record(use: Use) -> dict[str, Any]:
    return {
        "cell": use.cell,
        "line": use.line,
        "column": use.column,
        "kind": use.kind,
        "name": use.name,
        "becomes": use.becomes,
        "code": use.code,
        "target": use.target,
        "row": use.row,
        "source_text": use.source_text,
    }


def _block(file: FileScan) -> str:
    rows = [(_place(use), use.kind, use.name, _becomes(use)) for use in file.uses]
    heading = f"{file.path}: {_number(len(file.uses), 'use')}, {_counted(file.uses)}"
    return "\n".join([heading, *_aligned(rows), ""])


def _place(use: Use) -> str:
    place = f"{use.line}:{use.column}"
    return place if use.cell is None else f"cell {use.cell}, {place}"


def _becomes(use: Use) -> str:
    if use.becomes == UNKNOWN:
        return "not in the tables"
    words = [use.becomes, use.code or "", f"-> {use.target}" if use.target else ""]
    return " ".join(word for word in words if word)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [min(_MOST, max(len(row[index]) for row in rows)) for index in range(len(rows[0]))]
    for place, *others, last in rows:
        cells = [place.rjust(widths[0])]
        cells += [text.ljust(width) for text, width in zip(others, widths[1:], strict=False)]
        yield "  " + "  ".join([*cells, last]).rstrip()


def _counted(uses: Sequence[Use]) -> str:
    counted = counts(uses)
    shown = {**{name: name for name in OUTCOMES}, UNKNOWN: "not in the tables"}
    return ", ".join(f"{number} {shown[name]}" for name, number in counted.items() if number)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

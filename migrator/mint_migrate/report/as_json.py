"""The report as JSON, version 1; `schema.json` beside this file describes it.

A program may rely on every key listed there. New keys may appear in a release; a key changes its
meaning only with the version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mint_migrate.model.report import Counts, FileReport, Item, Report

VERSION = 1


def as_json(report: Report) -> str:
    """Return *report* as JSON text, keys in the order of the schema, with a last newline."""
    return json.dumps(as_dict(report), indent=2, ensure_ascii=False) + "\n"


def as_dict(report: Report) -> dict[str, Any]:
    """Return *report* as what `json` writes."""
    return {
        "version": VERSION,
        "tool": report.tool,
        "target": report.target,
        "files": [_file(file) for file in report.files],
        "totals": _counts(report.totals),
    }


def schema_text() -> str:
    """Return the JSON Schema of the report."""
    return Path(__file__).with_name("schema.json").read_text(encoding="utf-8")


def _file(file: FileReport) -> dict[str, Any]:
    record: dict[str, Any] = {
        "source": file.source,
        "output": file.output,
        "status": file.status,
        "framework": file.framework,
        "framework_version": file.framework_version,
        "evidence": list(file.evidence),
        "notices": list(file.notices),
        "message": file.message,
        "items": [_item(item) for item in file.items],
        "counts": _counts(file.counts),
    }
    if file.diff:
        record["diff"] = file.diff
    return record


def _item(item: Item) -> dict[str, Any]:
    record: dict[str, Any] = {
        "code": item.code,
        "row": item.row,
        "kind": item.kind.value,
        "name": item.name,
        "line": item.line,
        "column": item.column,
        "source_text": item.source_text,
        "decision": item.decision.value,
        "target": item.target,
        "note": item.note,
        "suppressed": item.suppressed,
    }
    # Only where they say something: most files are scripts of their own.
    if item.cell:
        record["cell"] = item.cell
    if item.path:
        record["path"] = item.path
    return record


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "exact": counts.exact,
        "approximate": counts.approximate,
        "dropped": counts.dropped,
        "manual": counts.manual,
    }

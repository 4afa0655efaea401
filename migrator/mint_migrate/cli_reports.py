"""The report files of a run: one beside each output, and an index for a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mint_migrate import console, files
from mint_migrate.errors import WriteError
from mint_migrate.model.report import Report

INDEX = "mint-migrate.report"


def write_reports(
    reports: Sequence[tuple[Path, Report]], kinds: Sequence[str], *, strict: bool
) -> int:
    """Write each report as `<output stem>.report.<kind>`; return 2 where one could not be."""
    status = 0
    for output, report in reports:
        for kind in dict.fromkeys(kinds):
            path = output.with_name(f"{output.stem}.report.{kind}")
            status = max(status, _write(path, _render(report, kind, strict=strict)))
    return status


def write_index(report: Report, folder: Path, kinds: Sequence[str], *, strict: bool) -> int:
    """Write the index of *report*, all files of a run, into *folder*; return 2 if that fails.

    As JSON it is the whole report; as Markdown a table of the files that leads to their reports.
    """
    status = 0
    for kind in dict.fromkeys(kinds):
        if kind == "json":
            text = _render(report, kind, strict=strict)
        else:
            from mint_migrate.report.as_index import as_index

            text = as_index(report, folder, strict=strict)
        status = max(status, _write(folder / f"{INDEX}.{kind}", text))
    return status


def _write(path: Path, text: str) -> int:
    try:
        if files.write(path, text.encode()):
            console.err(f"wrote {path}")
    except WriteError as error:
        console.err_error(error)
        return 2
    return 0


def _render(report: Report, kind: str, *, strict: bool) -> str:
    if kind == "json":
        from mint_migrate.report.as_json import as_json

        return as_json(report)
    from mint_migrate.report.as_markdown import as_markdown

    return as_markdown(report, strict=strict)

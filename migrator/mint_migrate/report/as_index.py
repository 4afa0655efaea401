"""The index of a project's reports as Markdown: a table of its files, those that ask first."""

from __future__ import annotations

import os
from pathlib import Path

from mint_migrate.model.report import FileReport, Report
from mint_migrate.report import words
from mint_migrate.report.as_markdown import code_span, escaped

_HEAD = "| File | Status | Exact | Approximate | Dropped | Needs you | Report |"
_RULE = "| --- | --- | ---: | ---: | ---: | ---: | --- |"


def as_index(report: Report, folder: Path, *, strict: bool = False) -> str:
    """Return the index of *report*.

    Args:
        report: every file of a run.
        folder: where the index will lie; links and paths are relative to it.
        strict: approximate items count as work for a person.
    """
    files = sorted(report.files, key=lambda file: (-len(words.asking(file, strict=strict)),))
    blocks = [
        "# Migration to MinT",
        f"**{words.counts_line(report)}**",
        "\n".join([_HEAD, _RULE, *(_row(file, folder, strict=strict) for file in files)]),
    ]
    messages = [
        f"- {_place(file, folder)}: {escaped(file.message)}" for file in files if file.message
    ]
    if messages:
        blocks += ["## Nothing was written for", "\n".join(messages)]
    blocks.append(f"Written by `{report.tool}`; `mint-migrate explain MMnnn` tells more on a code.")
    return "\n\n".join(blocks) + "\n"


def _row(file: FileReport, folder: Path, *, strict: bool) -> str:
    counts = file.counts
    asking = len(words.asking(file, strict=strict))
    numbers = (counts.exact, counts.approximate, counts.dropped, asking)
    cells = [_place(file, folder), file.status, *map(str, numbers), _link(file, folder)]
    return f"| {' | '.join(cells)} |"


def _place(file: FileReport, folder: Path) -> str:
    return code_span(_relative(Path(file.source), folder)).replace("|", "\\|")


def _link(file: FileReport, folder: Path) -> str:
    if file.output is None:
        return ""
    output = Path(file.output)
    target = _relative(output.with_name(f"{output.stem}.report.md"), folder)
    return f"[{escaped(output.name)}](<{target}>)"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()

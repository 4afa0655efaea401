"""The report as Markdown, for a pull request: what needs a person as a task list, then tables.

Every item is listed; the exact ones are folded away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.report import FileReport, Item, Report
from mint_migrate.report import words

RULE_PAGES = "docs/rules"


def as_markdown(report: Report, *, strict: bool = False) -> str:
    """Return *report* as GitHub-flavored Markdown.

    Args:
        report: what to show.
        strict: approximate items count as work for a person.
    """
    blocks = ["# Migration to MinT", f"**{words.counts_line(report)}**"]
    for file in report.files:
        blocks += _file(file, strict=strict)
    blocks.append(f"Written by `{report.tool}`; `mint-migrate explain MMnnn` tells more on a code.")
    return "\n\n".join(blocks) + "\n"


def _file(file: FileReport, *, strict: bool) -> list[str]:
    blocks = [f"## {code_span(file.source)}"]
    if file.framework is None:
        return [*blocks, escaped(file.message)]
    blocks.append(f"{words.heading(file)}. {words.arguments(file.items)}.")
    if file.message:
        blocks.append(f"**{escaped(file.message)}**")
    asking = words.asking(file, strict=strict)
    if asking:
        blocks += [f"### Needs you ({len(asking)})", "\n".join(_task(file, i) for i in asking)]
    for fidelity in (Fidelity.APPROXIMATE, Fidelity.DROPPED):
        listed = [i for i in file.items if i.decision is fidelity and i not in asking]
        if listed:
            title = f"### {fidelity.value.capitalize()} ({len(listed)}): {words.MEANING[fidelity]}"
            blocks += [title, _table(listed, with_reason=True)]
    accepted = [i for i in file.items if i.decision is Fidelity.MANUAL and i.suppressed]
    if accepted:
        blocks += [
            f"### Accepted by a comment ({len(accepted)})",
            _table(accepted, with_reason=True),
        ]
    return [*blocks, *_exact(file.items), *_assumptions(file)]


def _exact(items: Iterable[Item]) -> list[str]:
    listed = [item for item in items if item.decision is Fidelity.EXACT]
    if not listed:
        return []
    return [
        f"### Exact ({len(listed)}): {words.MEANING[Fidelity.EXACT]}",
        f"<details><summary>All {len(listed)}</summary>",
        _table(listed, with_reason=any(item.note for item in listed)),
        "</details>",
    ]


def _assumptions(file: FileReport) -> list[str]:
    lines = [f"- {escaped(sentence)}" for sentence in words.assumptions(file)]
    return ["### Assumptions and derivations", "\n".join(lines)] if lines else []


def _task(file: FileReport, item: Item) -> str:
    note = f": {escaped(item.note)}" if item.note else ""
    place = f"{item.path or file.source}:{item.start}"
    return f"- [ ] {code_span(place)} {_link(item)} {code_span(words.label(item))}{note}"


def _table(items: Sequence[Item], *, with_reason: bool) -> str:
    head = ["Line", "Before", "After"] + (["Why"] if with_reason else [])
    rows = [head, ["---:", *["---"] * (len(head) - 1)]]
    for item in items:
        row = [words.line(item), _cell(code_span(words.label(item))), _cell(_target(item))]
        if with_reason:
            row.append(_cell(f"{_link(item)} {escaped(item.note)}{_accepted(item)}".strip()))
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _target(item: Item) -> str:
    """Return where *item* went: a name as code, a phrase as prose."""
    if re.fullmatch(r"[\w.\[\]()=\"']+", item.target):
        return code_span(item.target)
    return escaped(item.target) or "-"


def _accepted(item: Item) -> str:
    return " (accepted by a comment)" if item.suppressed else ""


def _link(item: Item) -> str:
    return f"[{item.code}]({RULE_PAGES}/{item.code}.md)" if item.code else ""


def code_span(text: str) -> str:
    """Return *text* as a code span, fenced by more backticks than it holds in a row."""
    joined = words.one_line(text)
    runs = [len(run) for run in re.findall(r"`+", joined)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if joined.startswith("`") or joined.endswith("`") else ""
    return f"{fence}{pad}{joined}{pad}{fence}"


def escaped(text: str) -> str:
    """Return prose on one line that Markdown and HTML leave alone; its code spans stay."""
    pieces = re.split(r"(`[^`]*`)", words.one_line(text))
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_\[\]<>])", r"\\\1", piece)
        for piece in pieces
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

"""`docs/benchmarks.md`, written from the results: a table for each case, and what was missed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = ROOT / "benchmarks" / "introduction.md"
_ORDER = ("T", "M", "L", "S", "R", "C", "G")


def write_page(paths: Sequence[Path]) -> Path:
    """Write the page from result files and return its path."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    PAGE.write_text(render(documents, INTRODUCTION.read_text(encoding="utf-8")), encoding="utf-8")
    return PAGE


def render(documents: Sequence[dict[str, Any]], introduction: str) -> str:
    """Return the text of the page."""
    ordered = sorted(documents, key=_place)
    parts = [introduction.rstrip(), _summary(ordered), *(_section(each) for each in ordered)]
    return "\n\n".join(parts) + "\n"


def _place(document: dict[str, Any]) -> tuple[int, str]:
    family = document["case"][0]
    return (_ORDER.index(family) if family in _ORDER else len(_ORDER), document["case"])


def _summary(documents: Sequence[dict[str, Any]]) -> str:
    """Return one line for each target: what is wanted, what there is, whether it is met."""
    lines = ["## Targets", "", "| case | figure | target | measured | |", "|---|---|---|---|---|"]
    for document in documents:
        for row in document["rows"]:
            if row["is_met"] is None:
                continue
            verdict = "met" if row["is_met"] else "**missed**"
            lines.append(
                f"| {document['case']} | {row['figure']} | {_wanted(row)} | {_found(row)} |"
                f" {verdict} |"
            )
    return "\n".join(lines)


def _wanted(row: dict[str, Any]) -> str:
    if row["peer"] is not None:
        return _times(row["ratio_target"], row["peer"])
    bound = "at least" if row["more_is_better"] else "at most"
    return f"{bound} {number(row['target'])} {row['unit']}".rstrip()


def _found(row: dict[str, Any]) -> str:
    if row["peer"] is not None:
        return f"{row['ratio']:.2f}"
    return f"{number(row['value'])} {row['unit']}".rstrip()


def _times(ratio: float, peer: str) -> str:
    return f"{ratio:.2g} times as good as {peer}"


def _section(document: dict[str, Any]) -> str:
    lines = [
        f"## {document['case']}: {document['title']}",
        "",
        f"{document['workload']}.",
        "",
        f"    {document['command']}    # load average {document['machine']['load']:.1f}",
        "",
        "| figure | unit | ours | peer | its figure | ratio | of the limit |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for row in document["rows"] if row["peer"] or _is_alone(row, document)),
        "",
        *document["notes"],
    ]
    return "\n".join(lines).rstrip()


def _is_alone(row: dict[str, Any], document: dict[str, Any]) -> bool:
    """Return whether no other row of the document holds the figure beside a peer."""
    return not any(
        each["figure"] == row["figure"] and each["peer"] is not None for each in document["rows"]
    )


def _line(row: dict[str, Any]) -> str:
    ratio, peer, theirs = "", "", ""
    if row["peer"] is not None:
        low, high = row["ratio_range"]
        ratio = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"
        peer, theirs = row["peer"], _with_spread(row["peer_value"], row["peer_spread"])
    fraction = "" if row["fraction"] is None else f"{100 * row['fraction']:.0f}%"
    ours = _with_spread(row["value"], row["spread"])
    return (
        f"| {row['figure']} | {row['unit']} | {ours} | {peer} | {theirs} | {ratio} | {fraction} |"
    )


def _with_spread(value: float, spread: dict[str, float]) -> str:
    if spread["min"] == spread["max"]:
        return number(value)
    return f"{number(value)} ({number(spread['min'])} to {number(spread['max'])})"


def number(value: float) -> str:
    """Return a number with three digits, without an exponent where that can be read."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 0.01:
        return f"{value:.3g}"
    return f"{value:.1e}"

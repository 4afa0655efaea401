"""Renders the page of every reason code, and their list, from the catalogue and the rows."""

from __future__ import annotations

from mint_migrate.tables.load import Loaded
from mint_migrate.tables.rows import RuleDoc

NOTICE = "<!-- Generated from mappings/rules.yaml by mint_migrate.tables.compile: do not edit. -->"
FAMILIES = {
    "1": "Files and detection",
    "2": "TRL, transformers and PEFT",
    "3": "verl",
    "4": "OpenRLHF",
    "5": "Data and tokenizer",
    "9": "Internal",
}


def rule_pages(loaded: Loaded) -> dict[str, str]:
    """Return file name and text of every page, the list among them."""
    rules = sorted(loaded.rules, key=lambda rule: (len(rule.code), rule.code))
    pages = {f"{rule.code}.md": _page(rule, _rows_of(rule, loaded)) for rule in rules}
    pages["README.md"] = _list(rules)
    return pages


def _rows_of(rule: RuleDoc, loaded: Loaded) -> list[str]:
    return sorted({row.id for row in loaded.rows if row.code == rule.code})


def _page(rule: RuleDoc, rows: list[str]) -> str:
    lines = [NOTICE, "", f"# {rule.code}: {rule.title}", ""]
    for heading, text in (
        ("Finds", rule.finds),
        ("Writes", rule.writes),
        ("Fidelity", f"`{rule.fidelity}`"),
        ("What is lost", rule.lost),
    ):
        lines += [f"## {heading}", "", text, ""]
    lines += ["## Example", "", "Before:", "", "```python", rule.before.rstrip("\n"), "```", ""]
    lines += ["After:", "", "```python", rule.after.rstrip("\n"), "```", ""]
    lines += ["## What to do", "", rule.way_out, ""]
    if rows:
        lines += ["## Names", "", *(f"- `{row}`" for row in rows), ""]
    lines += ["## Source", "", f"<{rule.source}>", ""]
    return "\n".join(lines)


def _list(rules: list[RuleDoc]) -> str:
    lines = [NOTICE, "", "# Reason codes", ""]
    for digit, family in FAMILIES.items():
        members = [rule for rule in rules if rule.code[2] == digit]
        if members:
            lines += [f"## {family}", "", "| Code | Finding | Outcome |", "| --- | --- | --- |"]
            lines += [
                f"| [{rule.code}]({rule.code}.md) | {rule.title} | {rule.fidelity} |"
                for rule in members
            ]
            lines.append("")
    return "\n".join(lines)

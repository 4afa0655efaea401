"""Packages whose options are recorded by entry point, at build time: defaults by release."""

from __future__ import annotations

from typing import Any

PARTS = ("openrlhf", "verl")
"""Packages whose rows stand in an index of their own, read when one of their names is looked up."""
RENAMES = "renames.json"
"""File beside the records: by command line, the names that flags got later."""

Records = dict[str, dict[str, dict[str, Any]]]
"""Package, release (in order), record."""
Changes = list[list[str]]
"""[release, Python literal] for each release that changes a default."""


def recorded_defaults(records: Records) -> dict[str, dict[str, Changes]]:
    """Return by owner and option the defaults, as changes from release to release."""
    found: dict[str, dict[str, Changes]] = {}
    for releases in records.values():
        for release, record in releases.items():
            for owner, entry in record["classes"].items():
                table = found.setdefault(owner, {})
                for option, text in entry.get("fields", {}).items():
                    changes = table.setdefault(option, [])
                    if not changes and text is None:
                        continue
                    if not changes or changes[-1][1] != text:
                        changes.append([release, text])
    return found


def recorded_variants(records: Records) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """Return by owner, file and release the defaults that differ from those of its first file."""
    found: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for releases in records.values():
        for release, record in releases.items():
            for owner, entry in record["classes"].items():
                for label, texts in entry.get("variants", {}).items():
                    found.setdefault(owner, {}).setdefault(label, {})[release] = texts
    return found

"""Packages whose options are recorded by entry point, at build time: defaults by release."""

from __future__ import annotations

from typing import Any

from mint_migrate.tables.schema import RenamesFile

PARTS = ("openrlhf", "verl")
"""Packages whose rows stand in an index of their own, read when one of their names is looked up."""
CODES = {"3": "verl", "4": "openrlhf"}
"""Of those, by the first digit of their reason codes."""

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


def recorded_renames(
    records: Records, tables: dict[str, RenamesFile]
) -> dict[str, dict[str, list[str]]]:
    """Return by owner and option the names that mean the same since the options were renamed.

    An entry that names no programs holds for every owner that has had the old name and a new one.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for package, releases in records.items():
        options: dict[str, set[str]] = {}
        for record in releases.values():
            for owner, entry in record["classes"].items():
                options.setdefault(owner, set()).update(entry.get("fields", {}))
        for renamed in tables[package].renamed if package in tables else ():
            named = {f"{package}.{program}" for program in renamed.programs} or set(options)
            for owner in sorted(named):
                new = [name for name in renamed.new if name in options.get(owner, ())]
                if new and renamed.old in options[owner]:
                    found.setdefault(owner, {})[renamed.old] = new
    return found

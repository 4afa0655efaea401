"""What a file that uses verl or OpenRLHF is for, by the rows of what it calls."""

from __future__ import annotations

from enum import Enum

from mint_migrate.model.facts import Facts
from mint_migrate.rules.library.names import LIBRARIES, package_of
from mint_migrate.tables.lookup import Tables

TRAINS = frozenset({"MM365", "MM366", "MM368", *(f"MM44{digit}" for digit in range(1, 8))})
"""Reason codes of what only the conversion of a launcher can answer."""


class Role(Enum):
    """What becomes of a file."""

    STAYS = "it builds data or scores, and stays as it is"
    TRAINS = "it builds or copies a trainer; the launcher's conversion writes the loop"
    HELPS = "it works on batches, and is converted in place"


def role_of(facts: Facts, tables: Tables) -> Role:
    """Return what a file is for."""
    called = [call.qualified for call in facts.calls] + [item.base for item in facts.overridden]
    own = [name for name in called if package_of(name) in LIBRARIES]
    rows = [tables.row(name) for name in own]
    if any(row is not None and row.code in TRAINS for row in rows):
        return Role.TRAINS
    imported = [item for item in facts.imports if package_of(item.qualified) in LIBRARIES]
    rows += [tables.row(item.qualified) for item in imported]
    if all(row is not None and row.transform == "keep" for row in rows):
        return Role.STAYS
    if all(row is not None and row.code in TRAINS for row in rows):
        return Role.TRAINS
    return Role.HELPS

"""Rule: what a name of verl or OpenRLHF is in the result: the script's own, kept, or for a person.

A row says which: `keep` leaves the name alone, `stop` is for a person, anything else names a class
or function that the result defines.
"""

from __future__ import annotations

from enum import Enum

from mint_migrate.model.facts import Reference
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.library.ledger import LibraryLedger
from mint_migrate.tables.rows import Row

LIBRARIES = frozenset({"verl", "openrlhf"})
WORKER_CLASS = "PolicyClients"


class Place(Enum):
    """Where a name comes from in the result."""

    OWN = "defined by the result"
    KEPT = "imported as before"
    OPEN = "imported as before, for a person"


def package_of(qualified: str) -> str:
    return qualified.split(".", 1)[0]


def place_of(ledger: LibraryLedger, qualified: str) -> Place:
    """Return where a qualified name comes from in the result."""
    if package_of(qualified) not in LIBRARIES:
        return Place.KEPT
    row = ledger.tables.row(qualified)
    if row is None:
        return Place.OPEN
    if row.transform == "keep":
        return Place.KEPT
    return (
        Place.OPEN
        if row.fidelity is Fidelity.MANUAL or own_name(ledger, row) is None
        else Place.OWN
    )


def own_name(ledger: LibraryLedger, row: Row) -> str | None:
    """Return the class or function of the result that a row names, without the method."""
    name = row.to.split(".", 1)[0]
    return name if name in ledger.library.members else None


def annotation_name(ledger: LibraryLedger, reference: Reference) -> str | None:
    """Return the class that stands in an annotation for a class of workers."""
    row = ledger.tables.row(reference.qualified)
    if row is None or row.to != WORKER_CLASS:
        return None
    return WORKER_CLASS if reference.is_annotation else None

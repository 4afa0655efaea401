"""The ledger of a script that gets classes and functions of the result in place of verl's."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.library_script import Library
from mint_migrate.rules.base import Ledger


@dataclass(slots=True, kw_only=True)
class LibraryLedger(Ledger):
    """Decisions and edits, and what the result may define."""

    library: Library

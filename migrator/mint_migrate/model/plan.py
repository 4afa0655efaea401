"""What was found in a script and what is decided about each piece."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mint_migrate.model.source import Span


class Kind(StrEnum):
    """What sort of thing was found."""

    ARGUMENT = "argument"
    CONFIG_KEY = "config_key"
    FLAG = "flag"
    CALLBACK = "callback"
    METHOD = "method"
    IMPORT = "import"
    CALL = "call"


class Fidelity(StrEnum):
    """How much of the original's effect the result keeps."""

    EXACT = "exact"
    """Same effect, proven by source or test."""
    APPROXIMATE = "approximate"
    """Same purpose, different numbers; the difference is named."""
    DROPPED = "dropped"
    """No counterpart, and no effect on the result worth keeping; the reason is named."""
    MANUAL = "manual"
    """Needs a person; a `TODO[mint-migrate MMnnn]` stands where to act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing the script uses of a source framework."""

    kind: Kind
    name: str
    """Qualified: `trl.SFTConfig.learning_rate`."""
    span: Span
    source_text: str
    path: str = ""
    """File it stands in, where that is not the one that is migrated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The one outcome for one found thing."""

    found: Found
    fidelity: Fidelity
    row: str | None = None
    """Id of the table row that decided, such as `trl.SFTConfig.max_length`."""
    code: str | None = None
    """Code of the reason; None only where exact."""
    target: str = ""
    """Where it went in the result, in the words of the result."""
    note: str = ""
    suppressed: bool = False
    """A `mint-migrate: ignore[...]` comment accepts this outcome."""

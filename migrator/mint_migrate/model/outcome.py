"""How the migration of one file ended. Outcomes are values; exceptions are bugs."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A second file that a migration makes, beside the first one."""

    ending: str
    """What follows the stem of the source in its name: `_mint.sh`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """The file uses a source framework. `text` is None when nothing could be converted."""

    source: Source
    framework: str
    version: str
    evidence: tuple[str, ...]
    decisions: tuple[Decision, ...]
    text: str | None
    """The converted script with newlines as `\\n`."""
    partial: bool = False
    """Some construct stays as it was, under a TODO marker."""
    notices: tuple[str, ...] = ()
    """Sentences for the reader of the report: assumptions, derivations such as the batch
    arithmetic.
    """
    suffix: str = ""
    """Of the file that `text` belongs in, where it is not the usual one of the source."""
    companions: tuple[Companion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Nothing to do, and nothing wrong: no framework used, our own output, the user's own class."""

    path: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The file could not be read or understood, or our own output failed its checks."""

    path: str
    code: str
    reason: str
    hint: str = ""
    span: Span | None = None


Outcome = Migrated | Skipped | Failed

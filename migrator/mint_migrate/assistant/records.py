"""The records of an answer: the one product that terminal, JSON and Markdown are made from."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.tables.concepts import Concept, Guide
from mint_migrate.tables.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The release that a script was written for."""

    package: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A pointer to an entry: what to ask for, and what it is about."""

    id: str
    """Concept, row or code."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing an answer tells, from a concept, a table row or a reason code."""

    kind: str
    """`concept`, `row` or `rule`."""
    id: str
    title: str
    framework: str
    """Of the source, such as `trl`; `general` where MinT itself is meant."""
    mint: str
    """What replaces it, in Markdown."""
    text: tuple[tuple[str, str], ...]
    """(label, paragraph) in order; an empty label: plain text."""
    language: str = "python"
    """Of `before`."""
    before: str = ""
    after: str = ""
    differences: tuple[str, ...] = ()
    pitfalls: tuple[str, ...] = ()
    status: str = ""
    """`converted`, `on_request`, `planned` or `refused`; empty: nothing to convert."""
    rows: tuple[str, ...] = ()
    """Ids of table rows about the same."""
    sources: tuple[str, ...] = ()
    see: tuple[Near, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideText:
    """Everything about one source framework: its concepts, what differs, what goes wrong."""

    guide: Guide
    concepts: tuple[Concept, ...]
    """Mappings of the framework."""
    differences: tuple[Concept, ...]
    losses: tuple[Concept, ...]
    pitfalls: tuple[Concept, ...]
    limits: tuple[Concept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a question got.

    Exactly one of these holds: `entries` are there, best first; `guide` is there; neither is, and
    `nearest` names what the tables do have. An empty question has none of them.
    """

    question: str
    entries: tuple[Entry, ...] = ()
    guide: GuideText | None = None
    nearest: tuple[Near, ...] = ()

    @property
    def found(self) -> bool:
        """Say whether the tables had an answer."""
        return bool(self.entries) or self.guide is not None

    @property
    def kind(self) -> str:
        """Return `answer`, `guide`, `help` or `not_found`."""
        if self.guide is not None:
            return "guide"
        if self.entries:
            return "answer"
        return "not_found" if self.question.strip() else "help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How many names of one owner the tables have, by outcome."""

    name: str
    """Class or package, such as `trl.SFTConfig`."""
    outcomes: tuple[tuple[str, int], ...]
    """(fidelity, number of names), in the order of fidelities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The rows of a symbol, or the list of all tables."""

    symbol: str
    """Empty: all tables."""
    groups: tuple[Group, ...] = ()
    rows: tuple[Row, ...] = ()
    bases: tuple[str, ...] = ()
    """Classes whose rows hold as well, where the symbol is a class."""
    nearest: tuple[Near, ...] = ()

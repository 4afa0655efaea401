"""The structure of a shell script: commands, and what decides whether and how often they run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mint_migrate.shell.words import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`name=value`, `name+=value`, `name[key]=value`, or an array."""

    name: str
    values: tuple[Word, ...]
    is_array: bool
    appends: bool = False
    is_element: bool = False


@dataclass(slots=True, kw_only=True)
class Redirection:
    """Where a command reads from or writes to."""

    operator: str
    target: Word
    body: Word | None = None
    """A here-document. It stands behind the line of the command, so it is read later."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Command:
    """A simple command: its words without redirections, and what is set for it alone."""

    words: tuple[Word, ...]
    assignments: tuple[Assignment, ...] = ()
    redirections: tuple[Redirection, ...] = ()
    start: int = 0
    """Offset in the script."""
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """`((...))`."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands one after the other."""

    items: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """`a && b || c`: operators, and what stands behind each."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What runs in a process of its own: parts of a pipeline, `(...)`, or before an `&`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negated:
    """`! command`."""

    item: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """`if`: conditions with their commands; the last has no condition behind an `else`."""

    arms: tuple[tuple[Block | None, Block], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """`for`, `while`, `until`, `select`."""

    body: Block
    variable: str | None = None
    words: tuple[Word, ...] | None = None
    """What a `for` goes through; None where that is not listed."""
    condition: Block | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`case`: the patterns of each arm with its commands."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], Block], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Function:
    """The definition of a function."""

    name: str
    body: Node
    start: int = 0
    """Offset in the script."""
    end: int = 0


Node = Command | Arithmetic | Block | Chain | Apart | Negated | Branches | Loop | Case | Function


@dataclass(slots=True)
class Script:
    """A parsed text: its structure, and the commands in the order in which they stand."""

    root: Block = field(default_factory=Block)
    commands: list[Command] = field(default_factory=list)

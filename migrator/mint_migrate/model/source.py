"""What is migrated, and how: the user's file and the options of the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A range of the user's file. Lines and columns count from 1; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int
    cell: int = 0
    """Cell of a notebook that the lines are counted in, from 1; 0 in any other file."""

    @property
    def start(self) -> str:
        """Return where it starts, for people: `12:5`, or `cell 3, line 12, column 5`."""
        return shown_place(self.line, self.column, self.cell)


def shown_place(line: int, column: int, cell: int = 0) -> str:
    """Return a place in a file as reports write it."""
    return f"cell {cell}, line {line}, column {column}" if cell else f"{line}:{column}"


def contains(outer: Span, inner: Span) -> bool:
    """Say whether *inner* lies within *outer*."""
    starts = (outer.line, outer.column) <= (inner.line, inner.column)
    return starts and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file as it lies on disk. `text` is `content` decoded, with newlines as `\\n`."""

    path: str
    content: bytes
    text: str
    newline: str
    """"\\n" or "\\r\\n", whichever the file uses."""
    has_bom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line may change about a migration."""

    source_version: str | None = None
    """Version of TRL the script was written for; None: inferred from the keywords used."""
    project_version: tuple[str, str] | None = None
    """(version, evidence) read from the project's requirements or lock file."""
    launched_version: tuple[str, str, str] | None = None
    """(package, version, evidence) of the framework that a launcher starts, given or pinned."""
    num_processes: int = 1
    base_model: str | None = None
    scale_lr: bool = False
    ppo: str | None = None
    """What becomes of PPO, whose critic MinT does not train: `critic-free`; None refuses it."""
    reward_model: str | None = None
    """`generative`: train a reward model as one that scores by its log-probabilities."""
    distillation: str | None = None
    """`reverse-kl`: train the reverse divergence on own answers where another one is asked for."""
    strict: bool = False

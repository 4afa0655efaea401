"""Commands that another shell reads: the string of `bash -c`, a here-document, `eval`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from mint_migrate.launches.programs import is_shell, name_of
from mint_migrate.shell.syntax import Command
from mint_migrate.shell.words import Part, PartKind, Word

_WORTH = re.compile(r"python|torchrun|deepspeed|accelerate")
_SHOWS = frozenset({"alias", "echo", "grep", "printf", "sed", "awk", "git"})
_READS_SCRIPT = frozenset({"sbatch", "ssh", "srun", "tee", "cat", "qsub", "bsub", "su"})
"""Programs whose here-document may be a script."""


class Quoting(StrEnum):
    """How a nested command is written in the text around it."""

    NONE = "none"
    SINGLE = "single"
    DOUBLE = "double"
    DOCUMENT = "document"
    """A here-document in which variables are replaced."""
    PLAIN = "plain"
    """A here-document that is taken as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A text that another shell reads, and where each of its characters stands."""

    text: str
    offsets: tuple[int, ...]
    quoting: Quoting
    outer_names: frozenset[str]
    """Variables that are replaced before the other shell reads the text."""

    def written(self, text: str, inner_names: frozenset[str]) -> str:
        """Return a command as it has to be written here.

        Args:
            text: as a script has it.
            inner_names: variables that the other shell has to replace.
        """
        if self.quoting is Quoting.SINGLE:
            return text.replace("'", "'\\''")
        if self.quoting is Quoting.PLAIN:
            return text
        if self.quoting is Quoting.DOUBLE:
            text = text.replace("\\", "\\\\").replace('"', '\\"')
        for name in sorted(inner_names):
            text = re.sub(rf"\$(?=\{{?{re.escape(name)}\b)", r"\\$", text)
        return text


def nested_in(command: Command, text: str) -> Iterator[Nested]:
    """Yield the parts of a script, *text*, in a command of it that another shell reads."""
    if not command.words or name_of(command.words[0]) in _SHOWS:
        return
    for word in command.words[1:]:
        if word.is_quoted and _WORTH.search(word.source) and " " in word.source:
            yield _of_word(word, text)
    writes = any(item.operator in {">", ">|", ">>"} for item in command.redirections)
    name = name_of(command.words[0])
    runs = any(map(is_shell, command.words)) or (name in _READS_SCRIPT - {"cat"})
    for item in command.redirections:
        if item.body is not None and (runs or (writes and name in _READS_SCRIPT)):
            found = _of_word(item.body, text)
            quoting = Quoting.PLAIN if item.body.is_quoted else Quoting.DOCUMENT
            yield replace(found, quoting=quoting)


def unquoted(command: Command) -> tuple[Word, ...]:
    """Return the words of `eval "$CMD"` or `bash -c "$CMD"` so that the command is spread out."""
    words = command.words
    runs_text = name_of(words[0]) == "eval" or any(
        is_shell(word) and _is_option_c(words[index + 1 : index + 2])
        for index, word in enumerate(words)
    )
    if not runs_text:
        return words
    return tuple(replace(word, parts=_bare(word)) if _is_one(word) else word for word in words)


def _is_option_c(words: tuple[Word, ...]) -> bool:
    return bool(words) and re.fullmatch(r"-\w*c", words[0].text or "") is not None


def _is_one(word: Word) -> bool:
    parts = [part for part in word.parts if part.kind is not PartKind.TEXT or part.text]
    return len(parts) == 1 and parts[0].kind in {PartKind.VARIABLE, PartKind.ARRAY}


def _bare(word: Word) -> tuple[Part, ...]:
    parts = (part for part in word.parts if part.kind is not PartKind.TEXT or part.text)
    return tuple(replace(part, is_quoted=False) for part in parts)


def _of_word(word: Word, script: str) -> Nested:
    pieces: list[str] = []
    offsets: list[int] = []
    names: set[str] = set()
    for part in word.parts:
        place = part.places[0]
        is_text = part.kind is PartKind.TEXT
        piece = part.text if is_text else script[place.start : place.end]
        is_exact = place.end - place.start == len(piece)
        pieces.append(piece)
        offsets += range(place.start, place.end) if is_exact else [place.start] * len(piece)
        if part.kind is PartKind.VARIABLE:
            names.add(part.text)
    is_single = word.source.startswith("'")
    return Nested(
        text="".join(pieces),
        offsets=(*offsets, word.parts[-1].places[0].end),
        quoting=Quoting.SINGLE if is_single else Quoting.DOUBLE,
        outer_names=frozenset() if is_single else frozenset(names),
    )

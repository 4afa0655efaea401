"""Uses in shell text: launchers and command lines of source frameworks, with their options.

Words are split as a shell splits them; nothing is expanded and nothing is run. `trl sft`,
`accelerate launch`, `deepspeed` and `python -m verl...` are commands; the options that belong to
them are flags, up to the script that a launcher starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mint_migrate.launches.entries import Recognized, entry_of, rows_of
from mint_migrate.model.plan import Found, Kind
from mint_migrate.model.source import Span
from mint_migrate.scan.outlook import TRAINERS, outlook, row_of_field
from mint_migrate.scan.python import PACKAGES
from mint_migrate.scan.records import Use
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

COMMAND = "command"
_WORD = re.compile(
    r"""(?P<blank>[ \t]+|\\\n|\#[^\n]*)"""
    r"""|(?P<end>\n|;|&&?|\|\|?|\(|\))"""
    r"""|(?P<word>(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\;&|()])+)""",
    re.VERBOSE | re.DOTALL,
)
_TRL = frozenset(
    {*(name.lower() for name in TRAINERS), "chat", "env", "vllm-serve", "skills", "ppo"}
)
_ACCELERATE = frozenset({"launch", "config", "test", "merge-weights", "estimate-memory"})
_OVERRIDE = re.compile(r"\+{0,2}[A-Za-z_][\w./]*=")
_MODULE_OPTIONS = ("-m", "--module")
_PYTHONS = ("python", "torchrun", "accelerate", "deepspeed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word as it is written, and its place."""

    text: str
    line: int
    column: int

    @property
    def value(self) -> str:
        """Return the word without the quotes around it."""
        return self.text.strip("\"'")


def shell_uses(text: str, tables: Tables, cell: int | None = None, line: int = 1) -> list[Use]:
    """Return the uses in shell text, by position; *line* is the number of its first line."""
    return [use for words in commands(text, line) for use in _uses_of(words, tables, cell)]


def commands(text: str, line: int = 1) -> Iterator[tuple[Word, ...]]:
    """Yield the words of each simple command."""
    words: list[Word] = []
    start = 0
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            # A quote that is never closed: the rest of the line is no command of ours.
            position = _line_end(text, position)
            continue
        if match["word"] is not None:
            words.append(Word(text=match[0], line=line, column=position - start + 1))
        elif match["end"] is not None and words:
            yield tuple(words)
            words = []
        line += match[0].count("\n")
        if "\n" in match[0]:
            start = position + match[0].rfind("\n") + 1
        position = match.end()
    if words:
        yield tuple(words)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position + 1)
    return len(text) if end < 0 else end


def _uses_of(words: tuple[Word, ...], tables: Tables, cell: int | None) -> Iterator[Use]:
    for index, word in enumerate(words):
        command = _command_at(words, index)
        if command is None:
            continue
        name, length = command
        yield _use(Kind.CALL, name, word, tables.row(name.replace(" ", ".")), cell, COMMAND)
        behind = words[index + length :]
        yield from _flags(behind, name, _entry(name, behind), tables, cell)
        if not name.startswith(("accelerate", "deepspeed")):
            return


def _command_at(words: tuple[Word, ...], index: int) -> tuple[str, int] | None:
    """Return the name of the command that starts at a word, and how many words name it."""
    value = words[index].value.rpartition("/")[2]
    following = words[index + 1].value if index + 1 < len(words) else ""
    if (value == "trl" and following in _TRL) or (
        value == "accelerate" and following in _ACCELERATE
    ):
        return f"{value} {following}", 2
    if value == "deepspeed" and _is_deepspeed(words, index):
        return "deepspeed", 1
    if (
        words[index].value in _MODULE_OPTIONS
        and _runs_python(words[:index])
        and following.partition(".")[0] in PACKAGES
    ):
        return f"python -m {following}", 2
    return None


def _runs_python(words: tuple[Word, ...]) -> bool:
    """Say whether a `-m` behind *words* names a module to run."""
    programs = (word.value.rpartition("/")[2] for word in words)
    return any(program.startswith(_PYTHONS) for program in programs)


def _is_deepspeed(words: tuple[Word, ...], index: int) -> bool:
    """Say whether `deepspeed` is a launcher here, not a package to install."""
    behind = words[index + 1 :]
    is_first = all("=" in word.value or word.value in _PREFIXES for word in words[:index])
    return is_first and any(
        word.value.endswith(".py") or word.value in _MODULE_OPTIONS for word in behind
    )


_PREFIXES = frozenset({"nohup", "exec", "sudo", "time", "env", "uv", "run", "poetry", "srun"})


def _entry(command: str, words: tuple[Word, ...]) -> Recognized | None:
    """Return which entry point of verl or OpenRLHF a command starts, if it does."""
    module = command.removeprefix("python -m ")
    values = [word.value for word in words]
    return None if module == command else entry_of(module, values, is_module=True)


def _flags(
    words: tuple[Word, ...],
    command: str,
    entry: Recognized | None,
    tables: Tables,
    cell: int | None,
) -> Iterator[Use]:
    """Yield the options of a command, those of the script that a launcher starts left out."""
    is_launcher = command.startswith(("accelerate", "deepspeed"))
    for word in words:
        if is_launcher and (word.value.endswith(".py") or word.value in _MODULE_OPTIONS):
            return
        if word.value.startswith("--") and len(word.value) > 2:
            field = word.value[2:].partition("=")[0].replace("-", "_")
        elif _OVERRIDE.match(word.value) and command.startswith("python -m"):
            field = word.value.partition("=")[0].lstrip("+")
        else:
            continue
        if entry is None:
            row = _row_of_flag(command, field, tables)
        else:
            row = _row_of_option(entry, field, tables)
        yield _use(Kind.FLAG, row.id if row is not None else f"{command} {field}", word, row, cell)


def _row_of_flag(command: str, field: str, tables: Tables) -> Row | None:
    program, _, sub = command.partition(" ")
    if program != "trl":
        return tables.row(f"{command.replace(' ', '.')}.{field}")
    trainer = next((name for name in TRAINERS if name.lower() == sub), None)
    return row_of_field(tables, field, f"trl.{trainer}Config" if trainer else None)


def _row_of_option(entry: Recognized, field: str, tables: Tables) -> Row | None:
    """Return the row of an option of verl or OpenRLHF, under its name in any release."""
    rows = rows_of(entry.framework, entry.entry)
    if entry.framework == "openrlhf":
        flat = {new: old for old, new in tables.renamed_flags(entry.entry).items()}
        field = flat.get(field, field)
    return tables.row(f"{rows}.{field}")


def _use(
    kind: Kind, name: str, word: Word, row: Row | None, cell: int | None, shown: str = ""
) -> Use:
    span = Span(
        line=word.line,
        column=word.column,
        end_line=word.line,
        end_column=word.column + len(word.text),
    )
    found = Found(kind=kind, name=name, span=span, source_text=word.text)
    use = outlook(found, row, cell)
    return replace(use, kind=shown, source_text=name) if shown else use

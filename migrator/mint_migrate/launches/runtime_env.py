"""The variables that `ray job submit` sets for a command: `--runtime-env-json='{"env_vars": ...}'`.

The text of the option is JSON around what only the shell knows.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from mint_migrate.launches.given import Given
from mint_migrate.launches.script import ENGINES
from mint_migrate.shell.words import Part, PartKind, Word

_NAME = re.compile(r"[A-Za-z_]\w*")


def runtime_variables(submission: Sequence[Given]) -> tuple[tuple[str, str], ...]:
    """Return the variables that a job is given: names, and values as a shell reads them."""
    found: dict[str, str] = {}
    for given in submission:
        if given.name == "runtime_env_json" and len(given.words) == 1:
            found |= _variables(given.words[0])
    return tuple(found.items())


def is_readable(given: Given) -> bool:
    """Say whether the variables in the text of the option are known by name."""
    return len(given.words) == 1 and _env_vars(given.words[0], _marks(given.words[0])) is not None


def _marks(word: Word) -> dict[str, Part]:
    """Return a character that nobody uses for each part of a word."""
    return {chr(0xE000 + index): part for index, part in enumerate(word.parts)}


def _env_vars(word: Word, marks: dict[str, Part]) -> dict[str, Any] | None:
    text = "".join(
        part.text if part.kind is PartKind.TEXT else mark for mark, part in marks.items()
    )
    try:
        data = json.loads(text)
    except ValueError:
        return None
    variables = data.get("env_vars") if isinstance(data, dict) else None
    return variables if isinstance(variables, dict) else None


def _variables(word: Word) -> dict[str, str]:
    marks = _marks(word)
    variables = _env_vars(word, marks) or {}
    result: dict[str, str] = {}
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or ENGINES.fullmatch(name):
            continue
        pieces = re.split(rf"([{''.join(marks)}])", str(value))
        result[name] = (
            "".join(
                f'"{_source(marks[piece].text, marks[piece].kind)}"'
                if piece in marks
                else shlex.quote(piece)
                for piece in pieces
                if piece
            )
            or "''"
        )
    return result


def _source(text: str, kind: PartKind) -> str:
    return text if kind is PartKind.OPAQUE else f"${{{text}}}"

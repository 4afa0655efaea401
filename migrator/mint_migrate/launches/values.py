"""Values of flags and keys as Python expressions, of the type that their option has.

The type is that of the option's recorded default. What only the shell knows is read from the
environment when the converted script runs; the converted launcher sets it there.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mint_migrate.launches.given import Given, literal
from mint_migrate.launches.hydra import read_value
from mint_migrate.model.plan import Kind
from mint_migrate.shell.words import Part, PartKind, Word

_NUMBER = re.compile(r"[+-]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TEXTUAL = re.compile(r"(?:.*_)?(?:name|id|path|dir|token|template|file|revision|to|type|project)")
_TRUE = frozenset({"true", "yes", "t", "y", "1"})
_FALSE = frozenset({"false", "no", "f", "n", "0"})

_SWITCHES = frozenset({"true", "false", "yes", "no"})
"""Of those, what says true or false where nothing but None is known of an option."""


_FIRST_MARK = 0xE000
"""Start of the characters that nobody uses: each stands for a part that is not known."""


class Environment:
    """The names under which the converted launcher passes what only the shell knows."""

    def __init__(self) -> None:
        """Start with none."""
        self.sources: dict[str, str] = {}
        """Name to what the shell makes its value of."""
        self.inherited: dict[str, None] = {}
        """Names that a started program finds in its environment anyway."""

    def read(self, part: Part) -> str:
        """Return the expression that reads *part*."""
        name = part.text
        if part.kind is not PartKind.VARIABLE:
            source = part.text if part.kind is PartKind.OPAQUE else f"${{{part.text}[*]}}"
            known = [key for key, value in self.sources.items() if value == f'"{source}"']
            name = known[0] if known else self._next()
            self.sources[name] = f'"{source}"'
            return f'os.environ["{name}"]'
        if name.isdigit():
            name = f"ARGUMENT_{name}"
        if part.is_inherited:
            self.inherited[name] = None
        else:
            self.sources[name] = f'"{_written(part)}"'
        if not part.operator:
            return f'os.environ["{name}"]'
        default = literal(part.default or "")
        if part.fallback:
            default = " + ".join(_pieces(part.fallback, self))
        return f'os.environ.get("{name}", {default})'

    def _next(self) -> str:
        """Return a name for the next value that has none."""
        return f"VALUE_{sum(name.startswith('VALUE_') for name in self.sources) + 1}"


def _written(part: Part) -> str:
    """Return a variable as a shell reads it between double quotes."""
    if part.kind is PartKind.TEXT:
        return re.sub(r'([\\"$`])', r"\\\1", part.text)
    if part.kind is PartKind.OPAQUE:
        return part.text
    if not part.operator:
        return (
            f"${part.text}"
            if len(part.text) == 1 or not part.text.isdigit()
            else f"${{{part.text}}}"
        )
    default = "".join(map(_written, part.fallback)) or (part.default or "")
    return f"${{{part.text}{part.operator}{default}}}"


def python_value(given: Given, default: str | None, environment: Environment) -> str:
    """Return the value of *given* as Python text.

    Args:
        given: a flag or a key; a flag without a value is True.
        default: the option's default as a literal; None where it is not known.
        environment: takes the names that have to be passed.
    """
    wanted = None if default is None else ast.literal_eval(default)
    if given.kind is Kind.CONFIG_KEY and not given.words:
        return _of_data(given.data, given, wanted)
    if not given.words:
        return "True"
    if given.kind is Kind.CONFIG_KEY:
        return _of_override(given.words[0], given, wanted, environment)
    values = [_of_word(word, given, wanted, environment) for word in given.words]
    if len(values) > 1 or isinstance(wanted, list):
        return f"[{', '.join(values)}]"
    return values[0]


def text_value(given: Given, environment: Environment) -> str:
    """Return the value of an option that is text, whatever it looks like."""
    if given.kind is Kind.CONFIG_KEY:
        return "None" if given.data is None else literal(given.number or str(given.data))
    return _text(given.words[0], environment) if given.words else "True"


def list_value(given: Given, environment: Environment) -> list[str]:
    """Return the texts of an option that takes several."""
    if given.kind is Kind.CONFIG_KEY:
        listed = given.data if isinstance(given.data, list) else [given.data]
        return [literal(str(item)) for item in listed]
    return [_text(word, environment) for word in given.words]


def is_true(given: Given) -> bool:
    """Say whether a switch is on, as far as the text shows."""
    if given.kind is Kind.CONFIG_KEY:
        return given.data is True or str(given.data).lower() in _TRUE
    return not given.words or (given.words[0].text or "").lower() in _TRUE


def _of_data(data: Any, given: Given, wanted: Any) -> str:
    if isinstance(data, str):
        return _of_text(data, given.name, wanted)
    if isinstance(wanted, str) and not isinstance(data, bool | list | dict) and data is not None:
        return literal(given.number or str(data))
    return given.number if given.number and _is_literal(given.number) else literal(data)


def _of_word(word: Word, given: Given, wanted: Any, environment: Environment) -> str:
    if word.text is not None:
        return _of_text(word.text, given.name, wanted)
    read = _text(word, environment)
    if isinstance(wanted, bool):
        return f'{read}.lower() == "true"'
    guess = word.parts[0].default if len(word.parts) == 1 else None
    is_number = wanted is None and guess and not _TEXTUAL.fullmatch(given.name)
    if isinstance(wanted, int) or (is_number and re.fullmatch(r"\d+", guess or "")):
        return f"int({read})"
    if isinstance(wanted, float) or (is_number and _NUMBER.fullmatch(guess or "")):
        return f"float({read})"
    return read


def _of_override(word: Word, given: Given, wanted: Any, environment: Environment) -> str:
    """Return the value of an override of Hydra in which something is not known.

    Quotes, lists and dicts are read as Hydra reads them, around what is not known.
    """
    marks = {chr(_FIRST_MARK + index): part for index, part in enumerate(word.parts)}
    text = "".join(
        part.text if part.kind is PartKind.TEXT else mark for mark, part in marks.items()
    )
    data = read_value(text)
    if isinstance(data, str):
        pieces = re.split(rf"([{''.join(marks)}])", data)
        parts = (marks.get(piece) or Part(kind=PartKind.TEXT, text=piece) for piece in pieces)
        known = tuple(part for part in parts if part.kind is not PartKind.TEXT or part.text)
        return _of_word(replace(word, parts=known), given, wanted, environment)
    return _of_tree(data, marks, environment)


def _of_tree(data: Any, marks: dict[str, Part], environment: Environment) -> str:
    if isinstance(data, list):
        return f"[{', '.join(_of_tree(item, marks, environment) for item in data)}]"
    if isinstance(data, dict):
        pairs = (
            f"{_of_tree(key, marks, environment)}: {_of_tree(value, marks, environment)}"
            for key, value in data.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if not isinstance(data, str):
        return literal(data)
    pieces = [piece for piece in re.split(rf"([{''.join(marks)}])", data) if piece]
    read = [
        environment.read(marks[piece]) if piece in marks else literal(piece) for piece in pieces
    ]
    return " + ".join(read) or '""'


def _of_text(text: str, name: str, wanted: Any) -> str:
    """Return static text as a literal of the type of *wanted*, a default."""
    if isinstance(wanted, bool):
        lower = text.lower()
        if lower in _TRUE | _FALSE:
            return str(lower in _TRUE)
    if text[:1] in "{[" and text[-1:] in "}]" and len(text) > 1:
        try:
            return literal(json.loads(text))
        except ValueError:
            return literal(text)
    is_number = _NUMBER.fullmatch(text) is not None and _is_literal(text)
    if isinstance(wanted, str | list) and not _holds_numbers(wanted):
        return literal(text)
    is_textual = wanted is None and _TEXTUAL.fullmatch(name) is not None
    if is_number and not is_textual:
        return text
    if wanted is None and not is_textual and text.lower() in _SWITCHES:
        return str(text.lower() in _TRUE)
    return literal(text)


def _holds_numbers(wanted: str | list[Any]) -> bool:
    return isinstance(wanted, list) and bool(wanted) and isinstance(wanted[0], int | float)


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _text(word: Word, environment: Environment) -> str:
    if word.text is not None:
        return literal(word.text)
    if len(word.parts) == 1:
        return environment.read(word.parts[0])
    return " + ".join(_pieces(word.parts, environment))


def _pieces(parts: Sequence[Part], environment: Environment) -> list[str]:
    return [
        literal(part.text) if part.kind is PartKind.TEXT else environment.read(part)
        for part in parts
    ]

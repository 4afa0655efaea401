"""Values of flags and keys as Python expressions, of the type that their option has.

The type is that of the option's recorded default. What only the shell knows is read from the
environment when the converted script runs; the converted launcher sets it there.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from mint_migrate.fronts.given import Given, literal
from mint_migrate.fronts.words import Part, PartKind, Word
from mint_migrate.model.plan import Kind

_NUMBER = re.compile(r"[+-]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_TEXTUAL = re.compile(r"(?:.*_)?(?:name|id|path|dir|token|template|file|revision|to|type|project)")
_TRUE = frozenset({"true", "yes", "t", "y", "1"})
_FALSE = frozenset({"false", "no", "f", "n", "0"})

_SWITCHES = frozenset({"true", "false", "yes", "no"})
"""Of those, what says true or false where nothing but None is known of an option."""


class Environment:
    """The names under which the converted launcher passes what only the shell knows."""

    def __init__(self) -> None:
        """Start with none."""
        self.sources: dict[str, str] = {}
        """Name to what the shell makes its value of."""

    def read(self, part: Part) -> str:
        """Return the expression that reads *part*."""
        name = part.text
        if part.kind is PartKind.OPAQUE:
            known = [key for key, source in self.sources.items() if source == f'"{part.text}"']
            name = known[0] if known else self._next()
            self.sources[name] = f'"{part.text}"'
            return f'os.environ["{name}"]'
        if name.isdigit():
            name = f"ARGUMENT_{name}"
        if part.default is None:
            self.sources[name] = f'"${part.text}"'
            return f'os.environ["{name}"]'
        self.sources[name] = f'"${{{part.text}:-{part.default}}}"'
        return f'os.environ.get("{name}", {literal(part.default)})'

    def _next(self) -> str:
        """Return a name for the next value that has none."""
        return f"VALUE_{sum(name.startswith('VALUE_') for name in self.sources) + 1}"


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

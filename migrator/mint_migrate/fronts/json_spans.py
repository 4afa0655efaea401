"""Where the values of a JSON text stand: one can be replaced, and the rest keeps its bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Offsets of a value in the text; the end is exclusive."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """Return the value as it is written."""
        return text[self.start : self.end]


def members(text: str, start: int = 0) -> dict[str, Extent]:
    """Return where the values of the object at *start* stand, by key; a key twice counts last.

    Raises:
        ValueError: there is no JSON object there.
    """
    found: dict[str, Extent] = {}
    position = _skip(text, start)
    if text[position : position + 1] != "{":
        raise ValueError(f"no JSON object at offset {position}")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "}":
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise ValueError(f"`:` expected at offset {position}")
        value = _value(text, position + 1)
        found[key] = value
        position = _next(text, value.end, "}")
    return found


def elements(text: str, start: int) -> list[Extent]:
    """Return where the elements of the array at *start* stand.

    Raises:
        ValueError: there is no JSON array there.
    """
    found: list[Extent] = []
    position = _skip(text, start)
    if text[position : position + 1] != "[":
        raise ValueError(f"no JSON array at offset {position}")
    position = _skip(text, position + 1)
    while text[position : position + 1] != "]":
        found.append(_value(text, position))
        position = _next(text, found[-1].end, "]")
    return found


def _value(text: str, start: int) -> Extent:
    position = _skip(text, start)
    _, end = _DECODER.raw_decode(text, position)
    return Extent(start=position, end=end)


def _next(text: str, position: int, closing: str) -> int:
    """Return the offset behind the comma at *position*, or of the bracket that closes."""
    position = _skip(text, position)
    mark = text[position : position + 1]
    if mark == closing:
        return position
    if mark != ",":
        raise ValueError(f"`,` or `{closing}` expected at offset {position}")
    return _skip(text, position + 1)


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position

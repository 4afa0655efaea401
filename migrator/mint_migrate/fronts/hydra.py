"""Overrides of Hydra on a command line: `key=value`, `+key=value`, `~key`.

Grammar: hydra 1.3, "override grammar"; what only the shell knows stays a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mint_migrate.fronts.given import Given
from mint_migrate.fronts.places import Places
from mint_migrate.fronts.words import Word
from mint_migrate.model.plan import Kind

_OVERRIDE = re.compile(r"(?P<prefix>\+{1,2}|~)?(?P<key>[A-Za-z_][\w.@/-]*)(?P<equals>=)?")
_NUMBER = re.compile(r"[+-]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def read_overrides(words: Sequence[Word], places: Places) -> tuple[list[Given], list[Word]]:
    """Return the overrides of a command line, and the words that are none."""
    found: list[Given] = []
    strays: list[Word] = []
    for word in words:
        match = _OVERRIDE.match(word.lead)
        if match is None or (match["equals"] is None and match["prefix"] != "~"):
            strays.append(word)
            continue
        value = word.after(match.end())
        is_static = value.text is not None
        found.append(
            Given(
                name=match["key"],
                kind=Kind.CONFIG_KEY,
                span=places.span(word.start, word.end),
                source_text=word.source,
                words=() if is_static else (value,),
                data=read_value(value.text) if value.text is not None else None,
                number=_number(value.text),
            )
        )
    return found, strays


def _number(text: str | None) -> str:
    """Return a number as it is written, empty where *text* is none."""
    return text if text is not None and _NUMBER.fullmatch(text) else ""


def read_value(text: str) -> Any:
    """Return the value that Hydra reads from *text*."""
    bare = text.strip()
    if bare[:1] in "\"'" and bare[-1:] == bare[:1] and len(bare) > 1:
        return bare[1:-1]
    if bare.startswith("[") and bare.endswith("]"):
        return [read_value(item) for item in _items(bare[1:-1])]
    if bare.startswith("{") and bare.endswith("}"):
        pairs = (item.partition(":") for item in _items(bare[1:-1]))
        return {str(read_value(key)): read_value(value) for key, _, value in pairs}
    simple = {"null": None, "true": True, "false": False}
    if bare.lower() in simple:
        return simple[bare.lower()]
    if _NUMBER.fullmatch(bare):
        digits = bare.replace("_", "")
        return int(digits) if re.fullmatch(r"[+-]?\d+", digits) else float(digits)
    return bare


def _items(text: str) -> list[str]:
    """Return the parts between the commas of the outermost level."""
    items: list[str] = []
    depth, quote, start = 0, "", 0
    for position, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            items.append(text[start:position])
            start = position + 1
    items.append(text[start:])
    return [item for item in items if item.strip()]

"""What Hydra reads from a command line: overrides `key=value`, and options of its own.

Grammar: hydra 1.3, "override grammar" and "command line flags". Sweeps (`a,b`) stay text, and so do
functions other than casts. What only the shell knows stays a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mint_migrate.launches.given import Given, is_behind
from mint_migrate.launches.places import Places
from mint_migrate.model.plan import Kind
from mint_migrate.shell.words import Word

_OVERRIDE = re.compile(
    r"(?P<prefix>\+{1,2}|~)?(?P<key>[A-Za-z_$][\w.@/$:{}-]*)(?P<equals>=)?", re.DOTALL
)
_DIGITS = r"\d(?:_?\d)*"
_WHOLE = r"(?:0|[1-9](?:_?\d)*)"
NUMBER = re.compile(rf"[+-]?(?:{_WHOLE}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?")
"""A number as Hydra and Python write it alike: `007` and `1__0` are text."""
_INTEGER = re.compile(rf"[+-]?{_WHOLE}")
_SPECIAL = re.compile(r"(?P<sign>[+-]?)(?P<word>inf|nan)", re.IGNORECASE)
_CAST = re.compile(r"(?P<name>int|float|str|bool)\((?P<inner>.*)\)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_SHORT = {"cn": "config_name", "cp": "config_path", "cd": "config_dir", "m": "multirun"}
_TAKES_VALUE = frozenset({"config_name", "config_path", "config_dir", "package", "cfg"})
_ALONE = frozenset({"multirun", "run", "resolve", "info", "help", "hydra_help", "version"})
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_SIMPLE = {"null": None, "true": True, "false": False}


def read_overrides(words: Sequence[Word], places: Places) -> tuple[list[Given], list[Word]]:
    """Return the overrides and options of a command line, and the words that are neither."""
    found: list[Given] = []
    strays: list[Word] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        name = _option(word)
        if name:
            value = words[index] if index < len(words) else None
            takes_next = name in _TAKES_VALUE and "=" not in word.lead and value is not None
            found.append(_flag(name, word, value if takes_next else None, places))
            index += takes_next
        elif (given := _override(word, places)) is not None:
            found.append(given)
        else:
            strays.append(word)
    return found, strays


def _option(word: Word) -> str:
    """Return the name of an option of Hydra's own, empty where a word is none."""
    match = re.match(r"--?([A-Za-z][\w-]*)", word.lead)
    if match is None:
        return ""
    name = match[1].replace("-", "_")
    name = _SHORT.get(name, name)
    return name if name in _TAKES_VALUE | _ALONE or word.lead.startswith("--") else ""


def _flag(name: str, word: Word, value: Word | None, places: Places) -> Given:
    words = (value,) if value is not None else ()
    if value is None and "=" in word.lead:
        words = (word.after(word.lead.index("=") + 1),)
    is_there = value is not None and is_behind(value, word, places)
    end = value.end if value is not None and is_there else word.end
    source = word.source if value is None else f"{word.source} {value.source}"
    return Given(
        name=name,
        kind=Kind.FLAG,
        span=places.span(word.start, end),
        source_text=source,
        path=places.path(word.start),
        words=words,
        origins=places.origins((word, *words)),
    )


def _override(word: Word, places: Places) -> Given | None:
    match = _OVERRIDE.match(word.lead)
    if match is None or (match["equals"] is None and match["prefix"] != "~"):
        return None
    if match["equals"] is None and word.text is None:
        return None
    value = word.after(match.end())
    text = value.text
    return Given(
        name=match["key"],
        kind=Kind.CONFIG_KEY,
        span=places.span(word.start, word.end),
        source_text=word.source,
        path=places.path(word.start),
        prefix=match["prefix"] or "",
        words=() if text is not None else (value,),
        data=read_value(text) if text is not None and match["equals"] else None,
        number=written_number(text),
        origins=places.origins([word]),
    )


def written_number(text: str | None) -> str:
    """Return a number as it is written, empty where *text* is none."""
    return text.strip() if text is not None and NUMBER.fullmatch(text.strip()) else ""


def read_value(text: str) -> Any:
    """Return the value that Hydra reads from *text*: text, number, bool, None, list or dict."""
    bare = text.strip()
    if is_quoted(bare):
        return unquoted(bare)
    for opening in "[{":
        if bare.startswith(opening) and _closes_at_end(bare):
            return _container(bare)
    cast = _CAST.fullmatch(bare)
    if cast is not None:
        return _cast(cast["name"], read_value(cast["inner"]), bare)
    if bare.lower() in _SIMPLE:
        return _SIMPLE[bare.lower()]
    if NUMBER.fullmatch(bare):
        digits = bare.replace("_", "")
        return int(digits) if _INTEGER.fullmatch(bare) else float(digits)
    if _SPECIAL.fullmatch(bare):
        return float(bare)
    return _ESCAPED.sub(r"\1", bare)


def is_quoted(text: str) -> bool:
    """Say whether all of a text is one quoted value."""
    quote = text[:1]
    if quote not in {"'", '"'} or len(text) < 2:
        return False
    return re.fullmatch(rf"{quote}(?:\\.|[^\\{quote}])*{quote}", text, re.DOTALL) is not None


def unquoted(text: str) -> str:
    """Return a quoted value: only its own quote is escaped in it, and backslashes before that."""
    quote, inside = text[0], text[1:-1]
    pattern = rf"(\\+)(?={quote}|$)"
    return re.sub(pattern, lambda match: "\\" * (len(match[1]) // 2), inside)


def _container(text: str) -> list[Any] | dict[str, Any]:
    items = items_of(text[1:-1])
    if text.startswith("["):
        return [read_value(item) for item in items]
    pairs = (_pair(item) for item in items)
    return {str(read_value(key)): read_value(value) for key, value in pairs}


def _pair(item: str) -> tuple[str, str]:
    """Return key and value of an item of a dict."""
    text = item.strip()
    if text[:1] in {"'", '"'}:
        match = re.match(r"(['\"])(?:\\.|(?!\1).)*\1\s*", text, re.DOTALL)
        if match is not None:
            return match[0], text[match.end() :].removeprefix(":")
    key, _, value = text.partition(":")
    return key, value


def _cast(name: str, value: Any, text: str) -> Any:
    if isinstance(value, list | dict) or value is None:
        return text
    try:
        if name == "bool":
            return str(value).lower() in {"true", "yes", "on", "1"}
        return {"int": int, "float": float, "str": str}[name](value)
    except ValueError:
        return text


def _closes_at_end(text: str) -> bool:
    """Say whether the bracket that opens a text closes at its end."""
    return text.endswith(_CLOSING[text[0]]) and len(_split(text, ",")) == 1


def items_of(text: str) -> list[str]:
    """Return the items of a list or dict, without its brackets; a last comma adds none."""
    return [item for item in _split(text, ",") if item.strip()]


def _split(text: str, separator: str) -> list[str]:
    """Return the parts of a text between separators outside of quotes and brackets."""
    items: list[str] = []
    depth, quote, start, position = 0, "", 0, 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            position += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == separator and depth == 0:
            items.append(text[start:position])
            start = position + 1
        position += 1
    items.append(text[start:])
    return items

"""The flags of launchers and the keys of their files, counted apart from the program.

Text that cannot hold a flag is blanked out first (comments, here-documents, strings), every
character keeping its place; what is left is searched for commands that train.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_TRAINS = re.compile(
    r"(?:^|(?<=[\s;&|(]))(?:trl\s+(?:sft|dpo|grpo|kto|rloo|reward|orpo|cpo)\b"
    r"|accelerate\s+launch\b|torchrun\b|deepspeed\b|python3?\s+-m\s+trl\.scripts\.\w+)"
)
_FLAG = re.compile(r"(?<![\w=-])--?[A-Za-z][\w-]*")
_REST = re.compile(r"\$@")
_OWN_SCRIPT = re.compile(r"(?<![\w/])(?!\S*trl/scripts/)[\w./]+\.py\b")


def found_in_shell(text: str) -> list[tuple[int, int]]:
    """Return (line, column) of every flag of a training command, in order.

    Flags of an array count where they stand, if a training command uses the array. What follows a
    script of the user's belongs to that script.
    """
    blank = _blanked(text)
    places: set[int] = set()
    for start, end in _commands(blank):
        command = blank[start:end]
        own = _OWN_SCRIPT.search(command)
        if own is not None:
            places |= {start + flag.start() for flag in _FLAG.finditer(command, 0, own.start())}
            continue
        places |= {start + flag.start() for flag in _FLAG.finditer(command)}
        # `"$@"` is one thing that somebody has to write out; its place is that of its quote.
        rest = [start + match.start() for match in _REST.finditer(text[start:end])]
        places |= {offset - (text[offset - 1] == '"') for offset in rest}
        for name in re.findall(r"\$\{(\w+)\[@\]\}", text[start:end]):
            array = re.search(rf"\b{name}=\((.*?)\n?\)", blank, re.DOTALL)
            assert array is not None, name
            places |= {flag.start() for flag in _FLAG.finditer(blank, *array.span(1))}
    return sorted(_place(text, offset) for offset in places)


def num_keys(path: Path, *, leaves: bool) -> int:
    """Return the number of keys of a YAML or JSON file: the outermost ones, or the innermost."""
    text = path.read_text(encoding="utf-8")
    data = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return sum(1 for _ in _leaves(data)) if leaves else len(data)


def _leaves(data: dict[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value)
        else:
            yield key


def _commands(blank: str) -> Iterator[tuple[int, int]]:
    """Yield the extent of each training command: to the end of the line, a pipe or a separator."""
    position = 0
    while match := _TRAINS.search(blank, position):
        stop = re.compile(r"[\n;|]|&&|(?<!>)&(?!\d)|>").search(blank, match.end())
        position = stop.start() if stop else len(blank)
        yield match.end(), position


def _blanked(text: str) -> str:
    """Return the text with what cannot hold a flag as blanks, and lines that go on joined."""
    joined = text.replace("\\\n", "  ")
    without = re.sub(r"(?m)^(.*<<(\w+).*\n)(?:.*\n)*?\2$", _only_first_line, joined)
    for pattern in (r"(?m)(?:^|(?<=\s))#.*$", r"'[^'\n]*'", r'"[^"\n]*"'):
        without = re.sub(pattern, lambda match: "_" * len(match[0]), without)
    return without


def _only_first_line(match: re.Match[str]) -> str:
    return match[1] + re.sub(r"[^\n]", " ", match[0][len(match[1]) :])


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)

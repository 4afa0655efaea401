"""What `.gitignore` files say about the entries of a folder.

The patterns of a file become one regular expression where none of them is negated, so that an entry
costs one match. Only `.gitignore` itself is read: neither git's own exclude file nor the user's
global one, so the same tree gives the same list on every machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NAME = ".gitignore"
_KNOWN = {"**/": "(?:.*/)?", "/**": "/.+", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """The patterns of one `.gitignore`, in their order."""

    rules: tuple[tuple[re.Pattern[str], bool], ...]
    """(expression over a path relative to its folder, `/` behind a folder; whether it ignores)."""
    num_cut: int
    """Characters to cut off the front of a path, ..."""
    prefix: str = ""
    """... and what to put there, to make it relative to the folder of the `.gitignore`."""

    def verdict(self, path: str) -> bool | None:
        """Say whether *path*, ending in `/` for a folder, is ignored; None where nothing fits."""
        relative = self.prefix + path[self.num_cut :]
        for expression, is_ignored in reversed(self.rules):
            if expression.match(relative):
                return is_ignored
        return None


def read_patterns(folder: str, *, num_cut: int, prefix: str = "") -> Patterns | None:
    """Return the patterns of the `.gitignore` in *folder*; None without one that says something."""
    try:
        with open(os.path.join(folder, NAME), encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    rules = tuple(_joined([rule for line in lines if (rule := _rule(line)) is not None]))
    return Patterns(rules=rules, num_cut=num_cut, prefix=prefix) if rules else None


def is_ignored(path: str, patterns: Sequence[Patterns]) -> bool:
    """Say whether *path* is ignored; the patterns of inner folders, listed last, win."""
    for each in reversed(patterns):
        verdict = each.verdict(path)
        if verdict is not None:
            return verdict
    return False


def _joined(rules: Iterable[tuple[str, bool]]) -> list[tuple[re.Pattern[str], bool]]:
    """Return the rules with neighbors of one kind as one expression."""
    groups: list[tuple[list[str], bool]] = []
    for expression, verdict in rules:
        if groups and groups[-1][1] is verdict:
            groups[-1][0].append(expression)
        else:
            groups.append(([expression], verdict))
    return [(re.compile("|".join(parts)), verdict) for parts, verdict in groups]


def _rule(line: str) -> tuple[str, bool] | None:
    """Return the expression of one line and whether it ignores; None for a comment."""
    text = re.sub(r"(?<!\\)\s+$", "", line)
    if not text or text.startswith("#"):
        return None
    verdict = not text.startswith("!")
    text = text.removeprefix("!").removeprefix("\\")
    # Without a slash inside, a pattern fits at every depth.
    anchor = "" if "/" in text.rstrip("/") else "(?:.*/)?"
    end = "/$" if text.endswith("/") else "/?$"
    return f"{anchor}{_translated(text.strip('/'))}{end}", verdict


def _translated(pattern: str) -> str:
    """Return a glob as a regular expression: `**` crosses folders, `*` and `?` do not."""
    pieces = re.split(r"(\*\*/|/\*\*|\*|\?|\[[^\]]*\]|\\.)", pattern)
    translated = []
    for index, piece in enumerate(pieces):
        if piece == "*" and pieces[index - 1][-1:] in ("", "/") and pieces[index + 1][:1] in "/":
            translated.append("[^/]+")
        else:
            translated.append(_KNOWN.get(piece) or _literal(piece))
    return "".join(translated)


def _literal(piece: str) -> str:
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        inner = piece[1:-1].replace("\\", "\\\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return re.escape(piece.removeprefix("\\") if len(piece) == 2 else piece)

"""Where quotes, expansions and here-documents of a shell script end.

Nothing here says what a text means, only how far it goes: what is not closed goes to the end.
"""

from __future__ import annotations

import re

_HEREDOC = re.compile(r"<<(?P<tabs>-?)[ \t]*(?P<mark>\\?[\w.-]+|'[^'\n]*'|\"[^\"\n]*\")")


def end_of_single(text: str, start: int) -> int:
    """Return the offset behind the `'...'` that starts at *start*."""
    end = text.find("'", start + 1)
    return len(text) if end < 0 else end + 1


def end_of_ansi(text: str, start: int) -> int:
    """Return the offset behind the `$'...'` that starts at *start*."""
    match = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL).match(text, start)
    return match.end() if match else len(text)


def end_of_double(text: str, start: int) -> int:
    """Return the offset behind the `"..."` that starts at *start*."""
    position = start + 1
    while position < len(text):
        char = text[position]
        if char == '"':
            return position + 1
        position = _step(text, position) if char in "\\$`" else position + 1
    return len(text)


def end_of_expansion(text: str, start: int) -> int:
    """Return the offset behind the `$(...)`, `${...}`, `$[...]` or backquotes at *start*."""
    if text[start] == "`":
        match = re.compile(r"`(?:[^`\\]|\\.)*`", re.DOTALL).match(text, start)
        return match.end() if match else len(text)
    closing = {"(": ")", "{": "}", "[": "]"}.get(text[start + 1 : start + 2])
    if closing is None:
        return start + 1
    is_arithmetic = text.startswith("$((", start)
    reads_commands = closing == ")" and not is_arithmetic
    return end_of_bracket(text, start + 1, closing, reads_commands=reads_commands)


def end_of_bracket(text: str, start: int, closing: str, *, reads_commands: bool = False) -> int:
    """Return the offset behind the bracket that closes the one at *start*."""
    opening, depth, position = text[start], 0, start
    while position < len(text):
        char = text[position]
        if char in "'\"\\$`":
            position = _step(text, position)
            continue
        if reads_commands and char == "<" and (match := _HEREDOC.match(text, position)):
            body = text.find("\n", match.end())
            mark, tabs = unquoted_mark(match["mark"]), bool(match["tabs"])
            if body >= 0 and text[position - 1 : position] != "<":
                position = end_of_heredoc(text, body + 1, mark, tabs=tabs)[1]
                continue
        # Braces need not pair inside `${...}`: the first one that closes is its end.
        depth += (char == opening and (opening != "{" or not depth)) - (char == closing)
        position += 1
        if depth == 0:
            return position
    return len(text)


def end_of_heredoc(text: str, start: int, mark: str, *, tabs: bool) -> tuple[int, int]:
    """Return where the body that starts at *start* ends, and the offset behind its mark."""
    lead = r"\t*" if tabs else ""
    # Inside `$(...)` the bracket may stand behind the mark.
    found = re.compile(rf"^{lead}{re.escape(mark)}[ \t]*(?=$|\))", re.MULTILINE).search(text, start)
    return (found.start(), found.end()) if found else (len(text), len(text))


def unquoted_mark(mark: str) -> str:
    """Return what ends a here-document, as its quoted or bare mark says."""
    return mark.replace("\\", "").strip("'\"")


def _step(text: str, position: int) -> int:
    """Return the offset behind the quote, expansion or escaped character at *position*."""
    char = text[position]
    if char == "\\":
        return position + 2
    if char == "'":
        return end_of_single(text, position)
    if char == '"':
        return end_of_double(text, position)
    if char == "`" or text[position + 1 : position + 2] in {"(", "{", "["}:
        return end_of_expansion(text, position)
    if text.startswith("$'", position):
        return end_of_ansi(text, position)
    return position + 1

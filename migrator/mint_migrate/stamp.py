"""The last line of an output's docstring: which release wrote it, and a hash of the rest.

The hash covers the text without that line and with newlines as `\\n`, so a checkout that changes
newlines does not count as an edit. It is a safeguard against overwriting someone's work, not a
signature.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from dataclasses import dataclass

from mint_migrate import __version__

NUM_HASH_DIGITS = 16
_LINE = re.compile(
    rf"^mint-migrate (?P<version>\S+), sha256 (?P<digest>[0-9a-f]{{{NUM_HASH_DIGITS}}})[ \t]*\n",
    re.MULTILINE,
)
_STRING = re.compile(
    r"(?P<prefix>[rRuU]{0,2})(?P<quote>\"\"\"|'''|\"|')(?P<body>.*)(?P=quote)", re.S
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the line says, and where it stands in the text."""

    version: str
    digest: str
    start: int
    end: int


def stamp(text: str, version: str = __version__) -> str:
    """Return *text* with the stamp as the last line of its module docstring.

    A docstring of one line, or in single quotes, is opened up; a text without one gets one that
    holds the stamp alone. An older stamp is replaced.
    """
    base, position = _with_room(remove_stamp(text))
    line = f"mint-migrate {version}, sha256 {_digest(base)}\n"
    return base[:position] + line + base[position:]


def read_stamp(text: str) -> Stamp | None:
    """Return the stamp of *text*, or None when its docstring has none.

    Only a line inside the module docstring counts. A text that does not parse is judged by the
    line alone, so that an output broken by an edit still counts as ours.
    """
    matches = list(_LINE.finditer(text))
    if not matches:
        return None
    docstring = _docstring_lines(text)
    for match in reversed(matches):
        line = text.count("\n", 0, match.start()) + 1
        if docstring is None or line in docstring:
            return Stamp(
                version=match["version"],
                digest=match["digest"],
                start=match.start(),
                end=match.end(),
            )
    return None


def remove_stamp(text: str) -> str:
    """Return *text* without its stamp line; a text without one comes back as it is."""
    found = read_stamp(text)
    return text if found is None else text[: found.start] + text[found.end :]


def is_our_output(text: str) -> bool:
    """Say whether this program wrote *text*, edited since or not."""
    return read_stamp(text) is not None


def was_edited(text: str) -> bool:
    """Say whether *text* differs from what this program wrote; a text that is not ours does."""
    found = read_stamp(text)
    return found is None or _digest(remove_stamp(text)) != found.digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:NUM_HASH_DIGITS]


def _docstring_lines(text: str) -> range | None:
    """Return the lines of the module docstring, an empty range without one, None if unparsable."""
    try:
        node = _docstring_node(text)
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return None
    if node is None:
        return range(0)
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _docstring_node(text: str) -> ast.expr | None:
    body = ast.parse(_first_statement(text)).body
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return first.value
    return None


def _first_statement(text: str) -> str:
    """Return *text* up to the end of its first line of code, if that may be a docstring."""
    skipped = {tokenize.COMMENT, tokenize.NL}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    first = next(token for token in tokens if token.type not in skipped)
    if first.type != tokenize.STRING and first.string != "(":
        return ""
    last = next(token for token in tokens if token.type in {tokenize.NEWLINE, tokenize.ENDMARKER})
    return "\n".join(text.split("\n")[: last.end[0]])


def _with_room(text: str) -> tuple[str, int]:
    """Return *text* with the closing quotes of its docstring on a line of their own, and where."""
    node = _docstring_node(text)
    if node is None:
        return _with_new_docstring(text)
    start, end = _last_string_token(text, node)
    match = _STRING.fullmatch(text[start:end])
    assert match is not None, "the tokenizer and this pattern disagree on a string"
    quote = match["quote"] * (3 if len(match["quote"]) == 1 else 1)
    body = match["body"].rstrip(" \t")
    body = body.rstrip("\n") + ("\n\n" if body.strip("\n") else "\n")
    opened = match["prefix"] + quote + body
    return text[:start] + opened + quote + text[end:], start + len(opened)


def _with_new_docstring(text: str) -> tuple[str, int]:
    """Return *text* with an empty docstring below its shebang and encoding, and where it is."""
    lines = text.splitlines(keepends=True)
    num_header = 0
    while num_header < min(2, len(lines)) and re.match(r"#!|#.*coding[:=]", lines[num_header]):
        num_header += 1
    head, tail = "".join(lines[:num_header]), "".join(lines[num_header:])
    opened = f'{head}"""\n'
    return f'{opened}"""\n{tail}', len(opened)


def _last_string_token(text: str, node: ast.expr) -> tuple[int, int]:
    """Return the range in *text* of the last string literal of *node*."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    last = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.start[0] > (node.end_lineno or 0):
            break
        if token.type == tokenize.STRING:
            last = (
                starts[token.start[0] - 1] + token.start[1],
                starts[token.end[0] - 1] + token.end[1],
            )
        if token.type == tokenize.NEWLINE:
            break
    return last

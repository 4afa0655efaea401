"""What an expansion of a shell makes of values that are known. Nothing is executed.

Operations on parameters, arithmetic, and the few substituted commands that are pure functions of
their words. Of anything else the value is not known.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Protocol

from mint_migrate.shell.arithmetic import evaluate
from mint_migrate.shell.bindings import Binding, Scope
from mint_migrate.shell.words import Part, PartKind, Word, default_word

_OPERATION = re.compile(
    r"(?P<sign>[#!]?)(?P<name>[A-Za-z_]\w*|\d+)(?:\[(?P<key>[^\]]*)\])?"
    r"(?P<operator>:[-+=?]|[-+=?]|%%?|##?|//?|\^\^?|,,?|:(?=[ \d($A-Za-z_]))?(?P<word>.*)",
    re.DOTALL,
)


class Reader(Protocol):
    """What knows the values of words at one point of a script."""

    scope: Scope

    def text_of(self, word: Word) -> str | None:
        """Return the text of a word, None where it is not known."""
        ...

    def parts_of(self, word: Word) -> tuple[Part, ...]:
        """Return a word with what is known of its parts."""
        ...

    def printed(self, source: str) -> str | None:
        """Return what a substituted command prints, None where that is not known."""
        ...


def expanded(source: str, reader: Reader, *, is_quoted: bool) -> str | None:
    """Return the text that an expansion, in double quotes or not, is; None if it is not known."""
    if source.startswith("$((") and source.endswith("))"):
        return calculated(source[3:-2], reader)
    if source.startswith("$["):
        return calculated(source[2:-1], reader)
    if source.startswith("$("):
        return reader.printed(source[2:-1])
    if source.startswith("`"):
        return reader.printed(re.sub(r"\\([`\\$])", r"\1", source[1:-1]))
    if source.startswith("${"):
        return _operated(source[2:-1], reader, is_quoted=is_quoted)
    if source == "$#":
        arguments = reader.scope.get("@")
        return None if arguments is None or arguments.varies else str(len(arguments.words))
    return None


def calculated(text: str, reader: Reader) -> str | None:
    """Return the value of an arithmetic expression as text."""
    known = reader.text_of(default_word(text, is_quoted=True))
    if known is None:
        return None
    value = evaluate(known, reader.scope.text)
    return None if value is None else str(value)


def _operated(body: str, reader: Reader, *, is_quoted: bool) -> str | None:
    match = _OPERATION.fullmatch(body)
    if match is None:
        return None
    operator, word = match["operator"] or "", match["word"]
    if word and not operator:
        return None
    binding = reader.scope.get(match["name"])
    if match["key"] in {"@", "*"}:
        is_count = match["sign"] == "#" and not operator
        is_known = binding is not None and not binding.varies
        return str(len(binding.words)) if is_count and is_known and binding else None
    value = _subject(match["name"], match["key"], binding, reader)
    if match["sign"] == "!":
        return None if value is None or operator else reader.scope.text(value)
    if match["sign"] == "#":
        return None if value is None or operator else str(len(value))
    if value is None or not operator:
        return value
    if operator.lstrip(":") == "+":
        return None
    if operator.lstrip(":") in {"-", "=", "?"}:
        return _chosen(value, binding, operator, default_word(word, is_quoted=is_quoted), reader)
    return changed(value, operator, default_word(word), reader)


def _subject(name: str, key: str | None, binding: Binding | None, reader: Reader) -> str | None:
    if binding is None or binding.varies:
        return None
    if key is None:
        return binding.text
    index = calculated(key, reader)
    if index is None or not binding.is_array:
        return None
    number = int(index)
    if not -len(binding.words) <= number < len(binding.words):
        return ""
    return binding.words[number].text


def _chosen(
    value: str, binding: Binding | None, operator: str, word: Word, reader: Reader
) -> str | None:
    """Return the value or the word, as the operator says for one that is unset or empty."""
    is_set = binding is not None and bool(binding.words)
    has_value = bool(value) if operator.startswith(":") else is_set
    if has_value:
        return value
    return None if operator.endswith("?") else reader.text_of(word)


def changed(value: str, operator: str, word: Word, reader: Reader) -> str | None:
    """Return *value* without a prefix or suffix, with a part replaced, or in another case."""
    if operator == ":":
        return _slice(value, word, reader)
    if operator.startswith("/"):
        return _replaced(value, operator, word, reader)
    pattern = pattern_of(reader.parts_of(word))
    if pattern is None:
        return None
    if operator[0] in "^,":
        return _cased(value, operator, pattern or ".")
    return _trimmed(value, operator, pattern)


def _trimmed(value: str, operator: str, pattern: str) -> str:
    lengths = range(len(value) + 1)
    longest = len(operator) == 2
    for length in reversed(lengths) if longest else lengths:
        piece = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if re.fullmatch(pattern, piece, re.DOTALL):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value


def _cased(value: str, operator: str, pattern: str) -> str:
    change = str.upper if operator[0] == "^" else str.lower
    count = len(value) if len(operator) == 2 else 1
    return "".join(
        change(char) if index < count and re.fullmatch(pattern, char, re.DOTALL) else char
        for index, char in enumerate(value)
    )


def _replaced(value: str, operator: str, word: Word, reader: Reader) -> str | None:
    before, after = _divided(word.source)
    anchor = before[:1] if operator == "/" and before[:1] in {"#", "%"} else ""
    pattern = pattern_of(reader.parts_of(default_word(before[len(anchor) :])))
    new = reader.text_of(default_word(after))
    if pattern is None or new is None:
        return None
    if not pattern:
        return value
    pattern = {"#": rf"\A(?:{pattern})", "%": rf"(?:{pattern})\Z"}.get(anchor, pattern)
    count = 0 if operator == "//" else 1
    return re.sub(pattern, lambda _: new, value, count=count, flags=re.DOTALL)


def _divided(source: str) -> tuple[str, str]:
    """Return what stands before and behind the first slash that is neither quoted nor escaped."""
    match = re.match(r"((?:[^/\\'\"$]|\\.|'[^']*'|\"[^\"]*\"|\$\{[^}]*\}|\$)*)/", source, re.DOTALL)
    return (source, "") if match is None else (match[1], source[match.end() :])


def _slice(value: str, word: Word, reader: Reader) -> str | None:
    start_text, _, length_text = word.source.partition(":")
    start = calculated(start_text, reader)
    length = calculated(length_text, reader) if length_text else str(len(value))
    if start is None or length is None:
        return None
    first = int(start) + (len(value) if int(start) < 0 else 0)
    if first < 0:
        return ""
    end = first + int(length) if int(length) >= 0 else len(value) + int(length)
    return value[first:end] if end >= first else None


def pattern_of(parts: Sequence[Part]) -> str | None:
    """Return a pattern of a shell as a regular expression, None where it is not known."""
    result = ""
    for part in parts:
        if part.kind is not PartKind.TEXT:
            return None
        result += re.escape(part.text) if part.is_quoted else _pattern(part.text)
    return result


def _pattern(text: str) -> str:
    result, position = "", 0
    while position < len(text):
        char = text[position]
        bracket = re.compile(r"\[(!|\^)?(\]?[^\]]*)\]").match(text, position)
        if char == "*":
            result += ".*"
        elif char == "?":
            result += "."
        elif bracket is not None:
            inside = bracket[2].replace("\\", "\\\\").replace("[", "\\[")
            result += f"[{'^' if bracket[1] else ''}{inside}]"
            position = bracket.end()
            continue
        else:
            result += re.escape(char)
        position += 1
    return result


def output_of(words: Sequence[str]) -> str | None:
    """Return what a command prints that is a pure function of its words, newlines removed."""
    program, *arguments = words or ("",)
    name = program.rpartition("/")[2]
    if any(argument.startswith("-") for argument in arguments) and name != "expr":
        return None
    if name == "echo":
        return " ".join(arguments).rstrip("\n")
    if name == "dirname" and len(arguments) == 1:
        return posixpath.dirname(arguments[0].rstrip("/")) or _root(arguments[0]) or "."
    if name == "basename" and 1 <= len(arguments) <= 2:
        base = posixpath.basename(arguments[0].rstrip("/")) or _root(arguments[0])
        suffix = arguments[1] if len(arguments) == 2 else ""
        return base.removesuffix(suffix) if base != suffix else base
    if name == "seq" and 1 <= len(arguments) <= 2 and all(map(str.isdigit, arguments)):
        first, last = (1, *map(int, arguments))[-2:]
        return "\n".join(map(str, range(first, last + 1))) if last - first < 1000 else None
    return None


def _root(path: str) -> str:
    return "/" if path.startswith("/") else "." if path else ""

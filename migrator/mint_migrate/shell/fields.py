"""Splits the words of a command into those that the program is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from mint_migrate.shell.words import Part, PartKind, Place, Word

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?|([A-Za-z])\.\.([A-Za-z])")
_MOST = 200
"""Words that braces make at most; more are left as they are written."""
_DEEPEST = 50
"""Braces within and behind braces."""


def split_fields(parts: Iterable[Part]) -> list[tuple[Part, ...]]:
    """Return the parts of each word. Blanks separate where an unquoted expansion put them."""
    fields: list[list[Part]] = []
    current: list[Part] = []
    is_word = False
    for part in parts:
        if part.kind is not PartKind.TEXT or not part.splits:
            current.append(part)
            is_word |= part.kind is not PartKind.TEXT or bool(part.text) or part.is_quoted
            continue
        for match in re.finditer(r"[^ \t\n]+|[ \t\n]+", part.text):
            if match[0].isspace():
                if is_word:
                    fields.append(current)
                current, is_word = [], False
            else:
                current.append(_cut(part, match.start(), match.end()))
                is_word = True
    if is_word:
        fields.append(current)
    return [merged(field) for field in fields]


def _cut(part: Part, start: int, end: int) -> Part:
    """Return a piece of a text, which stands where the piece does."""
    first, *outer = part.places
    if first.end - first.start == len(part.text):
        first = Place(first.word, first.start + start, first.start + end)
    return replace(part, text=part.text[start:end], places=(first, *outer))


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return parts with texts joined, empty ones left out; one empty text where nothing is left."""
    result: list[Part] = []
    empty: Part | None = None
    for part in parts:
        if part.kind is PartKind.TEXT and not part.text:
            empty = empty or part
            continue
        last = result[-1] if result else None
        if last is None or part.kind is not PartKind.TEXT or last.kind is not PartKind.TEXT:
            result.append(part)
            continue
        places = common_places([last, part])
        result[-1] = replace(
            last,
            text=last.text + part.text,
            places=places or last.places,
            is_quoted=last.is_quoted and part.is_quoted,
            joined=(*last.starts, *part.starts),
        )
    if result:
        return tuple(result)
    return (empty or Part(kind=PartKind.TEXT, text="", places=(Place(0, 0, 0),)),)


def kept(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts of a value, each text where it stands; one empty text where all are."""
    result = list(parts)
    return tuple(part for part in result if part.kind is not PartKind.TEXT or part.text) or merged(
        result[:1]
    )


def common_places(parts: Sequence[Part]) -> tuple[Place, ...]:
    """Return the places that hold all parts, from the innermost word outwards."""
    first, *others = parts
    result: list[Place] = []
    for place in first.places:
        others_here = [
            next((each for each in other.places if each.word == place.word), None)
            for other in others
        ]
        if all(others_here):
            here = [place, *(each for each in others_here if each)]
            start, end = min(each.start for each in here), max(each.end for each in here)
            result.append(Place(place.word, start, end))
    return tuple(result)


def word_of(parts: tuple[Part, ...], raw: Word, text: str) -> Word:
    """Return one of several words that *raw* stands for, at the place where it is written."""
    places = common_places(parts)
    place = places[0] if places else Place(raw.start, raw.start, raw.end)
    is_there = place.word == raw.start
    return Word(
        start=place.start,
        end=place.end,
        source=text[place.start : place.end],
        parts=parts,
        is_quoted=raw.is_quoted,
        site=None if is_there else raw.site or (raw.start, raw.end),
    )


def without_braces(word: Word) -> list[Word]:
    """Return the words that `{a,b}` or `{1..3}` make of one. Quotes keep their characters apart."""
    if not any("{" in part.text for part in word.parts if _is_bare(part)):
        return [word]
    made = _expanded(word.parts, 0)
    if made is None or len(made) > _MOST:
        return [word]
    return [replace(word, parts=parts) for parts in made]


def _is_bare(part: Part) -> bool:
    return part.kind is PartKind.TEXT and not part.is_quoted


_Mark = tuple[int, int]
"""Index of a part, and of a character in it."""


def _expanded(parts: tuple[Part, ...], depth: int) -> list[tuple[Part, ...]] | None:
    """Return the words that braces make of one, None where they are too many or too deep."""
    if depth > _DEEPEST:
        return None
    marks = [
        (char, (index, offset))
        for index, part in enumerate(parts)
        if _is_bare(part)
        for offset, char in enumerate(part.text)
        if char in "{,}"
    ]
    for position, (char, start) in enumerate(marks):
        cuts = _cuts(marks[position:]) if char == "{" else None
        if cuts is None:
            continue
        items = _alternatives(parts, start, cuts, depth)
        if items == []:
            continue
        behind = _expanded(_between(parts, cuts[-1], (len(parts), 0)), depth + 1)
        if items is None or behind is None or len(items) * len(behind) > _MOST:
            return None
        before = _between(parts, (0, -1), start)
        return [(*before, *item, *rest) for item in items for rest in behind]
    return [parts]


def _cuts(marks: Sequence[tuple[str, _Mark]]) -> list[_Mark] | None:
    """Return the commas of the brace that comes first, and where it is closed."""
    depth = 0
    commas: list[_Mark] = []
    for char, mark in marks:
        depth += (char == "{") - (char == "}")
        if depth == 1 and char == ",":
            commas.append(mark)
        if depth == 0:
            return [*commas, mark]
    return None


def _alternatives(
    parts: tuple[Part, ...], start: _Mark, cuts: Sequence[_Mark], depth: int
) -> list[tuple[Part, ...]] | None:
    """Return what stands in braces, one after the other; nothing where they are only text."""
    if len(cuts) == 1:
        body = _between(parts, start, cuts[0])
        if len(body) != 1 or not _is_bare(body[0]):
            return []
        return [(replace(body[0], text=text),) for text in _range(body[0].text)]
    result: list[tuple[Part, ...]] = []
    for before, behind in pairwise([start, *cuts]):
        made = _expanded(_between(parts, before, behind), depth + 1)
        if made is None:
            return None
        result += made
    return result


def _between(parts: tuple[Part, ...], start: _Mark, end: _Mark) -> tuple[Part, ...]:
    """Return what stands behind one character and before another."""
    result: list[Part] = []
    for index in range(start[0], min(end[0] + 1, len(parts))):
        part = parts[index]
        first = start[1] + 1 if index == start[0] else 0
        last = end[1] if index == end[0] else len(part.text)
        is_whole = (first, last) == (0, len(part.text))
        if is_whole or first < last:
            result.append(part if is_whole else _cut(part, first, last))
    return tuple(result)


def _range(body: str) -> Iterator[str]:
    match = _RANGE.fullmatch(body)
    if match is None:
        return
    if match[4]:
        first, last, step = ord(match[4]), ord(match[5]), 1
    else:
        first, last, step = int(match[1]), int(match[2]), abs(int(match[3] or 1)) or 1
    if abs(last - first) // step > _MOST:
        return
    sign = 1 if last >= first else -1
    width = max(map(len, match.group(1, 2))) if _is_padded(match) else 0
    for value in range(first, last + sign, sign * step):
        yield chr(value) if match[4] else f"{value:0{width}d}"


def _is_padded(match: re.Match[str]) -> bool:
    return any(re.match(r"-?0\d", text or "") for text in match.group(1, 2))

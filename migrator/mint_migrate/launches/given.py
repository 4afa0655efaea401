"""What a user gave: flags of a command line and keys of a configuration file, with their places."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mint_migrate.launches.places import Places
from mint_migrate.model.plan import Kind
from mint_migrate.model.source import Span
from mint_migrate.shell.words import PartKind, Word

if TYPE_CHECKING:
    import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One flag or key. A flag has words; a key has data, or words that only the shell knows."""

    name: str
    """Without dashes, parts of a nested key joined by points, `-` as `_`."""
    kind: Kind
    span: Span
    source_text: str
    path: str = ""
    """File it stands in, where that is not the one that is migrated."""
    words: tuple[Word, ...] = ()
    data: Any = None
    prefix: str = ""
    """What stands before the key of an override: `+`, `++` or `~`."""
    number: str = ""
    """How a number is written, where `data` is one."""
    origins: tuple[str, ...] = ()
    """Lines of other files that its value comes from, in words."""

    @property
    def text(self) -> str | None:
        """Return the one value as text, None where there is not one that is known."""
        if self.kind is Kind.CONFIG_KEY and not self.words:
            return None if self.data is None else self.number or str(self.data)
        return self.words[0].text if len(self.words) == 1 else None


class ConfigError(ValueError):
    """A configuration file that cannot be read; the message says where and why."""


def read_flags(words: Sequence[Word], places: Places) -> tuple[list[Given], list[Word]]:
    """Return the flags of a command line, and the words that belong to none."""
    flags: list[Given] = []
    strays: list[Word] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if not _is_flag(word):
            strays.append(word)
            continue
        values: list[Word] = []
        name, equals, _ = word.lead.partition("=")
        if equals:
            values.append(word.after(len(name) + 1))
        while not equals and index < len(words) and not _is_flag(words[index]):
            if _may_hold_flags(words[index], is_first=not values):
                break
            values.append(words[index])
            index += 1
        flags.append(_flag(name, word, values, places))
    return flags, strays


def _may_hold_flags(word: Word, *, is_first: bool) -> bool:
    """Say whether a word stands for a list, or for nothing: `$@`, or `$EXTRA` behind a value."""
    if any(part.kind is PartKind.ARRAY for part in word.parts):
        return True
    is_unknown = len(word.parts) == 1 and word.text is None and word.parts[0].default is None
    return is_unknown and not is_first and not word.is_quoted


def _is_flag(word: Word) -> bool:
    return re.match(r"--\w|-[A-Za-z]\b", word.lead) is not None


def _flag(name: str, word: Word, values: Sequence[Word], places: Places) -> Given:
    behind = [value for value in values if is_behind(value, word, places)]
    end = behind[-1].end if behind else word.end
    return Given(
        name=name.lstrip("-").replace("-", "_"),
        kind=Kind.FLAG,
        span=places.span(word.start, end),
        source_text=" ".join([word.source, *(value.source for value in behind)]),
        path=places.path(word.start),
        words=tuple(values),
        origins=places.origins([word, *values]),
    )


def is_behind(value: Word, word: Word, places: Places) -> bool:
    """Say whether a value stands behind the word of its option, in the same file."""
    return value.start >= word.end and places.path(value.start) == places.path(word.start)


def read_yaml(text: str, path: str = "", *, nested: bool = False) -> list[Given]:
    """Return the keys of a YAML (or JSON) mapping, in order.

    Args:
        text: the file.
        path: how reports name it; empty for the file that is migrated.
        nested: list the innermost keys, joined by points, instead of the outermost.

    Raises:
        ConfigError: the text is not YAML, or not a mapping.
    """
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise ConfigError(f"{place}not YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("not a YAML mapping")
    places = Places(text)
    return list(_keys(node, text, path, places, "", nested))


def _keys(
    node: yaml.MappingNode, text: str, path: str, places: Places, prefix: str, nested: bool
) -> Iterator[Given]:
    import yaml

    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if nested and isinstance(value, yaml.MappingNode) and value.value:
            yield from _keys(value, text, path, places, f"{name}.", nested)
            continue
        start, end = key.start_mark.index, value.end_mark.index
        is_short = isinstance(value, yaml.ScalarNode)
        source = text[start:end].rstrip() if is_short else f"{key.value}: ..."
        data = _construct(value)
        is_number = isinstance(data, int | float) and not isinstance(data, bool)
        yield Given(
            name=name.replace("-", "_"),
            kind=Kind.CONFIG_KEY,
            span=places.span(start, max(start, end)),
            source_text=source,
            path=path,
            data=data,
            number=value.value if is_number else "",
        )


def _construct(node: yaml.Node) -> Any:
    import yaml

    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def literal(value: Any) -> str:
    """Return *value*, of the kinds that JSON and YAML know, as a Python literal."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        pairs = ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)

"""Which data sources the rows of a data file have, as the program that writes the file says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain

from mint_migrate.launches.processes import Read

_FOLDERS = ("", "data_preprocess/", "examples/data_preprocess/", "scripts/", "data/")
_NAMES = ("{}.py", "{}_dataset.py", "prepare_{}.py", "preprocess_{}.py")
_PLAIN = ("prepare_data.py", "preprocess.py", "data_preprocess.py", "process_data.py")
_WRITERS = frozenset({"to_parquet", "write_parquet", "write_table", "to_json"})
_SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev", "eval", "data"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """A program of the user's that writes data files whose rows name their source."""

    path: str
    sources: tuple[str, ...]
    """Every source that it writes as text."""


def builders_of(file: str, key: str, programs: tuple[str, ...], read: Read) -> tuple[Builder, ...]:
    """Return the programs that write a data file with sources that their text shows.

    Looked at are the programs that the launcher names, and those in folders close to it whose
    name is usual for the file's. Of several the ones count that name the folder of the file.

    Args:
        file: path of the data file, as far as it is known.
        key: column of the rows that holds the source.
        programs: Python files that the launcher names.
        read: returns the text of a file.
    """
    *folders, name = file.split("/")
    stem = name.rpartition(".")[0]
    words = {word for word in (*folders[-1:], stem) if word and word not in _SPLITS}
    found: dict[str, tuple[Builder, bool]] = {}
    for path in dict.fromkeys((*programs, *_usual(words))):
        tree = _parsed(read(path), key)
        sources = tuple(dict.fromkeys(_sources(tree, key))) if tree is not None else ()
        if tree is None or not sources or not _writes(tree, name):
            continue
        texts = [path, *_texts(tree)]
        is_named = any(word in text for word in words for text in texts)
        if is_named or path in programs:
            found[path] = Builder(path=path, sources=sources), is_named
    named = tuple(builder for builder, is_named in found.values() if is_named)
    return named or tuple(builder for builder, _ in found.values())


def _usual(words: set[str]) -> Iterator[str]:
    """Yield the paths where programs that write a data file usually stand."""
    for folder in _FOLDERS:
        for pattern in _NAMES:
            yield from (folder + pattern.format(word) for word in sorted(words))
        yield from (folder + name for name in _PLAIN)


def _parsed(text: str | None, key: str) -> ast.Module | None:
    if text is None or key not in text:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _writes(tree: ast.Module, name: str) -> bool:
    """Say whether a program writes files, and names one so or leaves only a part of it open."""
    attributes = (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    suffix = "." + name.rpartition(".")[2]
    patterns = (text.rpartition("/")[2] for text in _texts(tree) if text.endswith(suffix))
    return not _WRITERS.isdisjoint(attributes) and any(
        fnmatchcase(name, pattern) for pattern in patterns
    )


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a program, with `*` for what a formatted one leaves open."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_text(item) or "*" for item in node.values)
        elif (text := _text(node)) is not None:
            yield text


def _text(node: ast.AST) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return str(node.value) if is_text and isinstance(node, ast.Constant) else None


def _sources(tree: ast.Module, key: str) -> Iterator[str]:
    """Yield the texts that the column of the sources gets, directly or by one variable."""
    variables: dict[str, list[str]] = {}
    values: list[ast.expr] = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            values += [value for name, value in pairs if name and _text(name) == key]
        elif isinstance(node, ast.keyword) and node.arg == key:
            values.append(node.value)
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and value and (text := _text(value)) is not None:
                variables.setdefault(target.id, []).append(text)
            elif isinstance(target, ast.Subscript) and _text(target.slice) == key and value:
                values.append(value)
    names = (variables.get(item.id, []) for item in values if isinstance(item, ast.Name))
    yield from (text for item in values if (text := _text(item)) is not None)
    yield from chain.from_iterable(names)

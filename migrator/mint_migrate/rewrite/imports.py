"""Add the imports that the result needs, in the order isort gives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache

import libcst as cst

from mint_migrate.rewrite.aliases import without_names
from mint_migrate.rewrite.statements import Node, merge_lines

WIDTH = 88
"""Where isort breaks a line of imports."""


def add_imports(
    nodes: Sequence[Node], wanted: Sequence[str], start: int, *, moves: bool = True
) -> list[Node]:
    """Return the statements with *wanted* imports added.

    Args:
        nodes: top-level statements. wanted: import statements, one name each. start: index of the
        first statement that may be preceded by an import (behind the docstring and
            `__future__` imports).
    """
    end = start
    while end < len(nodes) and _import_text(nodes[end]) is not None:
        end += 1
    have = {_code(item) for node in nodes[start:end] for item in _single_imports(node)}
    missing = [text for text in sorted(wanted, key=_key) if text not in have]
    later = _without_later(nodes[end:], frozenset(missing)) if moves else nodes[end:]
    top = list(nodes[:end])
    texts = [text for text in _joined(missing) if not _extend(top, start, text)]
    result = [*top, *later]
    for text in texts:
        result = _insert(result, text, start)
    return result


def _joined(texts: Sequence[str]) -> list[str]:
    """Return the imports with the names from one module in one statement."""
    modules: dict[str, list[str]] = {}
    for text in texts:
        if text.startswith("from "):
            modules.setdefault(_module(text), []).append(text.partition(" import ")[2])
    done: list[str] = []
    for text in texts:
        if not text.startswith("from "):
            done.append(text)
        elif names := modules.pop(_module(text), None):
            done.append(_from_import(_module(text), names))
    return done


def _extend(nodes: list[Node], start: int, text: str) -> bool:
    """Add names to a plain import from the same module; say whether there was one."""
    if not text.startswith("from "):
        return False
    for index, node in enumerate(nodes[start:], start):
        names = _plain_names(node, _module(text))
        if names is not None:
            new = text.partition(" import ")[2].strip("()\n").split(",")
            wanted = [*names, *(name.strip() for name in new if name.strip())]
            added = _parsed(_from_import(_module(text), wanted))
            nodes[index] = node.with_changes(body=added.body)
            return True
    return False


def _plain_names(node: Node, module: str) -> list[str] | None:
    """Return the names that a statement imports from a module and from nothing else."""
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return None
    statement = node.body[0]
    if not isinstance(statement, cst.ImportFrom) or statement.relative:
        return None
    if isinstance(statement.names, cst.ImportStar) or statement.module is None:
        return None
    has_comment = "#" in _code(node)
    is_renamed = any(alias.asname is not None for alias in statement.names)
    if has_comment or is_renamed or _code(statement.module) != module:
        return None
    return [_code(alias.name) for alias in statement.names]


def _from_import(module: str, names: Sequence[str]) -> str:
    """Return one import of names in isort's order: constants, classes, the rest."""
    ordered = sorted(set(names), key=lambda name: (_kind(name), name.lower(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")"


def _kind(name: str) -> int:
    if len(name) > 1 and name.isupper():
        return 0
    return 1 if name[:1].isupper() else 2


def _code(node: cst.CSTNode) -> str:
    return cst.Module(body=[]).code_for_node(node)


def _without_later(nodes: Sequence[Node], texts: frozenset[str]) -> list[Node]:
    """Return statements without imports that now stand at the top of the module."""
    result: list[Node] = []
    pending: list[cst.EmptyLine] = []
    for node in nodes:
        kept = _less(node, texts)
        if kept is None:
            pending = merge_lines(pending, list(node.leading_lines))
            continue
        if pending:
            kept = kept.with_changes(leading_lines=merge_lines(pending, list(kept.leading_lines)))
            pending = []
        result.append(kept)
    return result


def _less(node: Node, texts: frozenset[str]) -> Node | None:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return node
    names = {item.split()[-1] for item in map(_code, _single_imports(node)) if item in texts}
    if not names:
        return node
    statement = without_names(node.body[0], names)
    return None if statement is None else node.with_changes(body=[statement])


def _single_imports(node: Node) -> list[cst.CSTNode]:
    """Return an import statement as one statement a name."""
    if not isinstance(node, cst.SimpleStatementLine):
        return []
    found: list[cst.CSTNode] = []
    for statement in node.body:
        if isinstance(statement, cst.Import):
            found += [
                cst.Import(names=[alias.with_changes(comma=cst.MaybeSentinel.DEFAULT)])
                for alias in statement.names
            ]
        elif isinstance(statement, cst.ImportFrom) and not isinstance(
            statement.names, cst.ImportStar
        ):
            found += [
                cst.ImportFrom(
                    module=statement.module,
                    names=[alias.with_changes(comma=cst.MaybeSentinel.DEFAULT)],
                    relative=statement.relative,
                )
                for alias in statement.names
            ]
    return found


def _module(text: str) -> str:
    return text.split()[1]


def _is_stdlib(text: str) -> bool:
    return _module(text).split(".", 1)[0] in sys.stdlib_module_names


def _key(text: str) -> tuple[bool, bool, str]:
    return (not _is_stdlib(text), text.startswith("from"), _module(text).lower())


@lru_cache(maxsize=256)
def _parsed(text: str) -> cst.SimpleStatementLine:
    """Return an import as a node; the same few are added to every script."""
    node = cst.parse_module(text).body[0]
    assert isinstance(node, cst.SimpleStatementLine)
    return node


@lru_cache(maxsize=256)
def _text(statement: cst.Import | cst.ImportFrom) -> str:
    return _code(statement)


def _import_text(node: Node) -> str | None:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return None
    statement = node.body[0]
    if not isinstance(statement, cst.Import | cst.ImportFrom):
        return None
    text = _text(statement)
    return None if text.startswith(("from .", "from __future__")) else " ".join(text.split())


def _insert(nodes: list[Node], text: str, start: int) -> list[Node]:
    """Insert one import in its place among the imports at the top."""
    key = _key(text)
    end = start
    position: int | None = None
    for index in range(start, len(nodes)):
        existing = _import_text(nodes[index])
        if existing is None:
            break
        end = index + 1
        if position is None and _key(existing) > key:
            position = index
    place = end if position is None else position
    new = _parsed(text)
    before = _import_text(nodes[place - 1]) if place > start else None
    after = _import_text(nodes[place]) if place < end else None
    lines: list[cst.EmptyLine] = []
    result = list(nodes)
    if after is not None:
        follower = result[place]
        same_group = _is_stdlib(after) == _is_stdlib(text)
        if before is None or same_group:
            own = list(follower.leading_lines)
            lines = own if before is None or _is_stdlib(before) != _is_stdlib(text) else []
            if lines or before is None:
                gap = [] if same_group else [cst.EmptyLine(indent=False)]
                result[place] = follower.with_changes(leading_lines=gap)
    if before is not None and _is_stdlib(before) != _is_stdlib(text) and not lines:
        lines = [cst.EmptyLine(indent=False)]
    if before is None and place > 0 and not any(line.comment is None for line in lines):
        lines = [cst.EmptyLine(indent=False), *lines]
    result.insert(place, new.with_changes(leading_lines=lines))
    return result

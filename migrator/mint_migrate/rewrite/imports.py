"""Take names out of imports and add the imports the result needs, in the order isort gives."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

import libcst as cst

from mint_migrate.rewrite.statements import Node, merge_lines


def drop_names(nodes: Sequence[Node], names: Collection[str]) -> list[Node]:
    """Return the statements of a module without the imports of *names*."""
    result: list[Node] = []
    pending: list[cst.EmptyLine] = []
    for node in nodes:
        new = _without(node, names)
        if new is None:
            pending = merge_lines(pending, list(node.leading_lines))
            continue
        if pending:
            new = new.with_changes(leading_lines=merge_lines(pending, list(new.leading_lines)))
            pending = []
        result.append(new)
    return result


def drop_nested_names(node: cst.CSTNode, names: Collection[str]) -> cst.CSTNode:
    """Return a tree without imports of *names* inside functions and branches."""
    return node.visit(_NestedImports(names)) if names else node  # type: ignore[return-value]


class _NestedImports(cst.CSTTransformer):
    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        body = drop_names(updated_node.body, self.names)  # type: ignore[arg-type]
        if len(body) == len(updated_node.body) and all(
            new is old for new, old in zip(body, updated_node.body, strict=True)
        ):
            return updated_node
        passing = cst.SimpleStatementLine(body=[cst.Pass()])
        return updated_node.with_changes(body=body or [passing])


def _without(node: Node, names: Collection[str]) -> Node | None:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return node
    statement = node.body[0]
    if not isinstance(statement, cst.Import | cst.ImportFrom):
        return node
    if isinstance(statement.names, cst.ImportStar):
        return node
    kept = [alias for alias in statement.names if bound_name(alias, statement) not in names]
    if len(kept) == len(statement.names):
        return node
    if not kept:
        return None
    if not (isinstance(statement, cst.ImportFrom) and statement.lpar):
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(body=[statement.with_changes(names=kept)])


def bound_name(alias: cst.ImportAlias, statement: cst.Import | cst.ImportFrom) -> str:
    """Return the name that one alias of an import binds."""
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    name = cst.Module(body=[]).code_for_node(alias.name)
    return name if isinstance(statement, cst.ImportFrom) else name.split(".", 1)[0]


def add_imports(nodes: Sequence[Node], wanted: Sequence[str], start: int) -> list[Node]:
    """Return the statements with *wanted* imports added.

    Args:
        nodes: top-level statements.
        wanted: import statements, one name each.
        start: index of the first statement that may be preceded by an import (behind the docstring and
            `__future__` imports).
    """
    result = list(nodes)
    have = {cst.Module(body=[]).code_for_node(item) for node in nodes for item in _single_imports(node)}
    for text in sorted(wanted, key=_key):
        if text not in have:
            result = _insert(result, text, start)
    return result


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
        elif isinstance(statement, cst.ImportFrom) and not isinstance(statement.names, cst.ImportStar):
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


def _import_text(node: Node) -> str | None:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return None
    statement = node.body[0]
    if not isinstance(statement, cst.Import | cst.ImportFrom):
        return None
    text = cst.Module(body=[]).code_for_node(statement)
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
    new = cst.parse_module(text).body[0]
    assert isinstance(new, cst.SimpleStatementLine)
    before = _import_text(nodes[place - 1]) if place > start else None
    after = _import_text(nodes[place]) if place < end else None
    lines: list[cst.EmptyLine] = []
    result = list(nodes)
    if after is not None:
        follower = result[place]
        same_group = _is_stdlib(after) == _is_stdlib(text)
        if before is None or same_group:
            own = [line for line in follower.leading_lines]
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

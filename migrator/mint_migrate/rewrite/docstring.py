"""The docstring of a converted module: the user's own words first, then what changed."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from textwrap import fill

import libcst as cst

from mint_migrate.rewrite.statements import Node

WIDTH = 110


def extend_docstring(
    nodes: Sequence[Node], headline: str, summary: Sequence[str], promise: str
) -> list[Node]:
    """Return the statements with a docstring that names the origin and lists what differs."""
    own = _own_docstring(nodes[0]) if nodes else None
    paragraphs = [own] if own else []
    paragraphs.append(fill(headline, WIDTH))
    if summary:
        listed = "\n".join(
            fill(f"- {item.rstrip('.')}", WIDTH, subsequent_indent="  ") for item in summary
        )
        paragraphs.append(f"{promise}, except (line numbers are the original's):\n{listed}")
    else:
        paragraphs.append(f"{promise}.")
    text = "\n\n".join(paragraphs).replace("\\", "\\\\").replace('"""', "'''")
    docstring = cst.parse_module(f'"""{text}\n"""\n').body[0]
    assert isinstance(docstring, cst.SimpleStatementLine)
    if own is not None:
        first = nodes[0]
        return [docstring.with_changes(leading_lines=first.leading_lines), *nodes[1:]]
    if not nodes:
        return [docstring]
    follower = nodes[0]
    lines = list(follower.leading_lines)
    if not lines or lines[0].comment is not None:
        lines = [cst.EmptyLine(indent=False), *lines]
    return [docstring, follower.with_changes(leading_lines=lines), *nodes[1:]]


def _own_docstring(node: Node) -> str | None:
    if not isinstance(node, cst.SimpleStatementLine) or len(node.body) != 1:
        return None
    expression = node.body[0]
    if not isinstance(expression, cst.Expr):
        return None
    if not isinstance(expression.value, cst.SimpleString | cst.ConcatenatedString):
        return None
    value = ast.literal_eval(cst.Module(body=[]).code_for_node(expression.value))
    return value.strip() if isinstance(value, str) else None

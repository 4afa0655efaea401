"""Which branches of the script's `if` statements a statement stands in."""

from __future__ import annotations

import ast
import functools

from mint_migrate.analyse.text import parsed
from mint_migrate.analyse.walk import walk
from mint_migrate.model.source import Span


@functools.lru_cache(maxsize=2)
def conditionals(text: str) -> tuple[ast.If, ...]:
    """Return every `if` statement of a module."""
    return tuple(node for node in walk(parsed(text)) if isinstance(node, ast.If))


def holds(statements: list[ast.stmt], span: Span) -> bool:
    """Say whether one of the statements contains *span*."""
    return any(
        node.lineno <= span.line and span.end_line <= (node.end_lineno or 0) for node in statements
    )


def exclude(text: str, first: Span, second: Span) -> bool:
    """Say whether two statements stand in different branches of one `if`."""
    for node in conditionals(text):
        one, other = (
            {index for index, part in enumerate((node.body, node.orelse)) if holds(part, span)}
            for span in (first, second)
        )
        if one and other and not one & other:
            return True
    return False


def condition_between(text: str, done: Span, used: Span) -> str | None:
    """Return the condition under which *done* has run where *used* does, "" for always.

    None where it cannot be written again: it is not one `if`, or its test calls something.
    """
    found = []
    for node in conditionals(text):
        ran = [holds(part, done) for part in (node.body, node.orelse)]
        if any(ran) and ran != [holds(part, used) for part in (node.body, node.orelse)]:
            found.append((node.test, ran[0]))
    if not found:
        return ""
    test, is_body = found[0]
    plain = ast.Name | ast.Attribute | ast.UnaryOp | ast.Not | ast.Load
    if len(found) > 1 or not all(isinstance(node, plain) for node in ast.walk(test)):
        return None
    return ast.unparse(test if is_body else ast.UnaryOp(ast.Not(), test))

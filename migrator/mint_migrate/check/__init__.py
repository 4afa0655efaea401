"""Checks of our own output, run on every migration."""

from __future__ import annotations

import ast

from mint_migrate.check.names import undefined_names
from mint_migrate.check.target_api import unknown_calls
from mint_migrate.model.script import Plan
from mint_migrate.tables.lookup import Tables


def check_output(text: str, original: str, plan: Plan, tables: Tables) -> tuple[str, ...]:
    """Return what is wrong with a converted script; empty if nothing is.

    It must compile, read no name that is bound nowhere (unless the original did), and call the
    target only as its published signatures allow. That the decisions cover what was found is
    asserted where the plan is made.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return (f"line {error.lineno}: {error.msg}",)
    if (problem := _compile_error(tree, original)) is not None:
        return (f"line {problem.lineno}: {problem.msg}",)
    missing = undefined_names(text)
    before = undefined_names(original) if missing else ()
    problems = [f"`{name}` is read but bound nowhere" for name in missing if name not in before]
    problems += unknown_calls(tree, tables)
    return tuple(problems)


def check_text(text: str, tables: Tables) -> tuple[str, ...]:
    """Return what is wrong with a script that is written whole; empty if nothing is.

    It must compile, bind every name that it reads, and call the target only as its published
    signatures allow.
    """
    try:
        tree = ast.parse(text)
        compile(tree, "<converted>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return (f"line {error.lineno}: {error.msg}",)
    problems = [f"`{name}` is read but bound nowhere" for name in undefined_names(text)]
    return (*problems, *unknown_calls(tree, tables))


def _compile_error(tree: ast.Module, original: str) -> SyntaxError | None:
    """Return why *tree* does not compile; awaiting at the top level is a notebook's right."""
    try:
        compile(tree, "<converted>", "exec", dont_inherit=True)
    except SyntaxError as error:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            compile(original, "<original>", "exec", flags=flags, dont_inherit=True)
            compile(tree, "<converted>", "exec", flags=flags, dont_inherit=True)
        except SyntaxError:
            return error
    return None

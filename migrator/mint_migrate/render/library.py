"""Render the part of verl's batches and workers that a script uses."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache

from mint_migrate.model.library_script import Library, LibraryScript
from mint_migrate.render.imports import imports_of
from mint_migrate.render.prune import defined, prune, renamed
from mint_migrate.render.script import render_template


def render_library(script: LibraryScript) -> str:
    """Return the classes and functions that *script* reaches, under its names for them."""
    text = prune(_whole(), script.wanted)
    return renamed(text, {old: new for old, new in script.names.items() if old != new})


def library() -> Library:
    """Return what scripts may get."""
    return Library(members=_classes(), render=render_library, defined=defined, imports=imports_of)


@cache
def _whole() -> str:
    return render_template(LibraryScript.template)


@cache
def _classes() -> dict[str, frozenset[str]]:
    tree = ast.parse(_whole())
    nodes = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return {node.name: frozenset(_members(node.body)) for node in nodes}


def _members(body: Iterable[ast.stmt]) -> Iterable[str]:
    for item in body:
        if isinstance(item, ast.FunctionDef):
            yield item.name
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id

"""Files and functions stay small enough to read in one go.

What passes a ceiling is split by subject. An exception is named here with its own ceiling, and
leaves the list when it no longer needs it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.imports import ROOT, modules

MODULE_LINES = 400
FUNCTION_LINES = 60
"""Of the body, without the docstring."""
TEMPLATE_LINES = 200
EXCEPTIONS: dict[str, int] = {}
MODULES = modules("mint_migrate") | modules("mint_runtime")
TEMPLATES = sorted((ROOT / "templates").rglob("*.j2"))


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function's body, its docstring excepted."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("package", ["mint_migrate", "mint_runtime"])
def test_modules_stay_below_their_ceiling(package):
    over = {
        name: num_lines(path)
        for name, path in modules(package).items()
        if num_lines(path) > EXCEPTIONS.get(name, MODULE_LINES)
    }
    assert over == {}


def test_every_exception_is_still_needed():
    assert [name for name in EXCEPTIONS if num_lines(MODULES[name]) <= MODULE_LINES] == []


@pytest.mark.parametrize("package", ["mint_migrate", "mint_runtime"])
def test_functions_stay_below_their_ceiling(package):
    over = [
        f"{name}:{node.lineno} {node.name}: {body_lines(node)} lines"
        for name, path in modules(package).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > FUNCTION_LINES
    ]
    assert over == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_stay_below_their_ceiling(path):
    assert num_lines(path) <= TEMPLATE_LINES

"""Uses in the code cells of a notebook, shell lines and shell cells included."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mint_migrate.scan.python import python_uses
from mint_migrate.scan.records import Use
from mint_migrate.scan.shell import shell_uses
from mint_migrate.tables.lookup import Tables

_SHELL_CELL = re.compile(r"\s*%%(?:bash|sh|shell|script\s+(?:ba)?sh)\b")
_OTHER_CELL = re.compile(r"\s*%%(?!time|capture|prun)")
_SHELL_LINE = re.compile(r"[ \t]*(?:!|%sx |%system )(?P<command>.*)")
_NOT_PYTHON = re.compile(r"[ \t]*(?:[!%?]|[\w.]+\?\??\s*$)")


def notebook_uses(text: str, tables: Tables) -> list[Use]:
    """Return the uses in a notebook, by cell and position.

    The cells are read as one module, so that a name keeps its meaning from cell to cell. A cell
    that does not parse is searched for shell lines only.

    Raises:
        ValueError: *text* is not a notebook.
    """
    uses: list[Use] = []
    code: list[str] = []
    places: list[tuple[int, int]] = []
    for number, source in _code_cells(text):
        shell, lines = _split(source, number, tables)
        uses += shell
        code += lines
        places += [(number, line) for line in range(1, len(lines) + 1)]
    for use in python_uses("\n".join(code), tables):
        cell, line = places[use.line - 1]
        uses.append(replace(use, cell=cell, line=line))
    return sorted(uses, key=lambda use: (use.cell or 0, use.line, use.column))


def _code_cells(text: str) -> Iterator[tuple[int, str]]:
    notebook = json.loads(text)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("no list of cells")
    for number, cell in enumerate(cells, start=1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            yield number, _source(cell)


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _split(source: str, number: int, tables: Tables) -> tuple[list[Use], list[str]]:
    """Return the uses in the shell lines of a cell, and its lines of Python.

    There are as many lines as the cell has: what is not Python is empty, or `pass` in a block.
    """
    lines = source.split("\n")
    if _SHELL_CELL.match(source):
        return shell_uses(source.partition("\n")[2], tables, number, line=2), [""] * len(lines)
    if _OTHER_CELL.match(source):
        return [], [""] * len(lines)
    uses: list[Use] = []
    code: list[str] = []
    for line, text in enumerate(lines, start=1):
        shell = _SHELL_LINE.match(text)
        if shell is not None:
            indent = " " * shell.start("command")
            uses += shell_uses(indent + shell["command"], tables, number, line)
        code.append(re.sub(r"\S.*", "pass", text) if _NOT_PYTHON.match(text) else text)
    try:
        ast.parse("\n".join(code))
    except (SyntaxError, ValueError):
        return uses, [""] * len(lines)
    return uses, code

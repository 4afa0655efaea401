"""Run single functions of a converted script, without its imports of the client."""

from __future__ import annotations

import ast
import math
import os
from types import SimpleNamespace
from typing import Any


def pieces(text: str, *names: str) -> dict[str, Any]:
    """Return the functions called *names* and the configuration of a converted script.

    Args:
        text: a converted script.
        names: functions to take out of it.

    Returns:
        What running them leaves behind; the configuration is `config`.
    """
    wanted = []
    for node in ast.parse(text).body:
        is_function = isinstance(node, ast.FunctionDef) and node.name in names
        is_config = (
            isinstance(node, ast.Assign) and "SimpleNamespace(" in ast.unparse(node.value)[:16]
        )
        if is_function or is_config:
            wanted.append(node)
    space: dict[str, Any] = {"math": math, "os": os, "SimpleNamespace": SimpleNamespace}
    exec(compile(ast.Module(body=wanted, type_ignores=[]), "<pieces>", "exec"), space)
    return space

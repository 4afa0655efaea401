"""Whether a file scores responses, or plays an agent, for a training that a launcher starts."""

from __future__ import annotations

import ast

_VERL = ({"solution_str", "ground_truth"}, {"solution_strs", "ground_truths"})
_REWARD = {"queries"}
_AGENT = {"observation", "action"}


def called_by(text: str) -> tuple[str, str] | None:
    """Return (code, reason) of a file that is called by its parameters, or None."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == "AgentExecutor":
            return _said("MM440", node.name, "plays an agent")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = node.args
        names = {item.arg for item in (*arguments.posonlyargs, *arguments.args)}
        if any(wanted <= names for wanted in _VERL):
            return _said("MM360", node.name, "scores responses")
        if node.name == "reward_func" and names >= _REWARD:
            return _said("MM440", node.name, "scores responses")
        if node.name == "step" and names >= _AGENT:
            return _said("MM440", node.name, "plays an agent")
    return None


def _said(code: str, name: str, what: str) -> tuple[str, str]:
    return code, f"`{name}` {what} for a launcher; it is called as it is by what that becomes"

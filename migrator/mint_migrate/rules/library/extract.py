"""What a file with a trainer of its own says of its training: options, rewards, environments.

Nothing of it is evaluated; each thing is named with its lines, for whoever brings it over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mint_migrate.model.facts import Facts
from mint_migrate.tables.lookup import Tables

_GROUPS = frozenset(
    {"actor_rollout_ref", "algorithm", "critic", "custom_reward_function", "data", "reward"}
    | {"reward_model", "trainer"}
)
"""Groups of verl's configuration."""
_SCORES = ("reward", "score")
_MOST = 12


def trained_here(facts: Facts, tables: Tables) -> tuple[str, ...]:
    """Return sentences for the report; none where the file says nothing."""
    tree = ast.parse(facts.text)
    found = []
    options = _lines(_options(tree))
    if options:
        unknown = [name for name in options if f"verl.config.{name}" not in tables]
        found.append(f"options that this code reads: {_listed(options)}")
        if unknown and any(row.id.startswith("verl.config.") for row in tables):
            found.append(f"options that no release of verl has: {_listed(dict.fromkeys(unknown))}")
    rewards = _lines(_rewards(tree))
    if rewards:
        found.append(f"what scores, for `custom_reward_function`: {_listed(rewards)}")
    environments = _lines(_environments(tree))
    if environments:
        found.append(f"environments, for `sample_responses`: {_listed(environments)}")
    return tuple(found)


def _lines(pairs: Iterator[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, line in pairs:
        found.setdefault(name, []).append(line)
    return found


def _listed(found: dict[str, list[int]] | dict[str, None]) -> str:
    shown = [
        f"`{name}` (line {', '.join(str(line) for line in dict.fromkeys(lines))})"
        if lines
        else f"`{name}`"
        for name, lines in list(found.items())[:_MOST]
    ]
    more = len(found) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _options(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield (key, line) of each `config.group.key` and `self.config.group.key`."""
    inner: set[ast.AST] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node in inner:
            continue
        parts: list[str] = []
        top: ast.expr = node
        while isinstance(top, ast.Attribute):
            inner.add(top)
            parts.append(top.attr)
            top = top.value
        if not isinstance(top, ast.Name):
            continue
        names = [top.id, *reversed(parts)]
        for position, name in enumerate(names[:-1]):
            if "config" in name.lower() or name == "cfg":
                key = [part for part in names[position + 1 :] if part not in {"get", "items"}]
                if len(key) > 1 and key[0] in _GROUPS:
                    yield ".".join(key), node.lineno


def _rewards(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the functions and classes that score, and what is passed as `reward_fn`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if any(word in node.name.lower() for word in _SCORES):
                yield node.name, node.lineno
        elif isinstance(node, ast.keyword) and node.arg in {"reward_fn", "compute_score"}:
            yield ast.unparse(node.value), node.value.lineno


def _environments(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield `env.step(...)` and `env.reset(...)` on whatever is called an environment."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        if node.func.attr in {"step", "reset"} and "env" in owner.rsplit(".", 1)[-1].lower():
            yield f"{owner}.{node.func.attr}", node.lineno

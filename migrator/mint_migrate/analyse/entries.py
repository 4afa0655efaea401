"""Options of verl that a Python file holds itself: overrides it composes, a dictionary it makes.

`compose(config_name=..., overrides=["a.b=1"])` of Hydra, and `OmegaConf.create({...})`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from mint_migrate.analyse.nodes import dictionary_pairs
from mint_migrate.analyse.scopes import ModuleScopes
from mint_migrate.analyse.text import SourceText, literal_repr
from mint_migrate.model.facts import ConfigEntry
from mint_migrate.model.plan import Found, Kind

Entry = tuple[str, ast.AST, ast.expr | None]
"""(key, place, value); the value is None where it stands behind the `=` of a text."""


def entries(nodes: Sequence[ast.AST], scopes: ModuleScopes) -> Iterator[Entry]:
    """Yield each option, in source order."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = _last(node.func)
        if name == "compose":
            yield from _overrides(node, scopes)
        elif name == "create" and _is_omegaconf(node.func) and node.args:
            yield from _keys(_bound(node.args[0], scopes), "")


def _last(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _is_omegaconf(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name | ast.Attribute)
        and _last(function.value) == "OmegaConf"
    )


def _bound(value: ast.expr, scopes: ModuleScopes) -> ast.expr:
    """Return what a name is bound to, where that happens once; else the expression itself."""
    if not isinstance(value, ast.Name):
        return value
    found = scopes.lookup(value.id, scopes.scope_of[value])
    bounds = found[1] if found is not None else []
    is_one = len(bounds) == 1 and bounds[0].kind == "assign"
    return bounds[0].value or value if is_one else value


def _overrides(call: ast.Call, scopes: ModuleScopes) -> Iterator[Entry]:
    given = [item.value for item in call.keywords if item.arg == "overrides"]
    listed = _bound(given[0], scopes) if given else None
    for element in listed.elts if isinstance(listed, ast.List | ast.Tuple) else ():
        text = element
        if isinstance(element, ast.JoinedStr) and element.values:
            text = element.values[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            key, equals, _ = text.value.partition("=")
            if equals or key.startswith("~"):
                yield key.lstrip("+~"), element, None


def _keys(value: ast.expr, prefix: str) -> Iterator[Entry]:
    for key, item, place in dictionary_pairs(value) or ():
        if isinstance(item, ast.Dict) and dictionary_pairs(item):
            yield from _keys(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", place, item


def config_entry(entry: Entry, source: SourceText, scopes: ModuleScopes) -> ConfigEntry:
    """Return an option as a record."""
    key, place, value = entry
    assert isinstance(place, ast.expr | ast.keyword)
    span = source.span(place)
    text = None
    if value is None and isinstance(place, ast.Constant):
        text = str(place.value).partition("=")[2]
    shown = source.slice(span) if value is None else f"{source.slice(span)}: {source.of(value)}"
    return ConfigEntry(
        found=Found(kind=Kind.CONFIG_KEY, name=f"verl.config.{key}", span=span, source_text=shown),
        key=key,
        text=text,
        literal=literal_repr(value) if value is not None else None,
        statement=source.span(scopes.statement_of[place]),
    )

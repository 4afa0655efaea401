"""Uses in Python code, as `analyse` finds them for a migration, and for more packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mint_migrate.analyse.facts import collect
from mint_migrate.analyse.scopes import SOURCE_PACKAGES
from mint_migrate.analyse.text import SourceText
from mint_migrate.analyse.walk import walk
from mint_migrate.model.facts import Argument, Facts
from mint_migrate.model.plan import Found, Kind
from mint_migrate.scan.outlook import outlook, row_of_argument, row_of_method
from mint_migrate.scan.records import Use
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

PACKAGES = SOURCE_PACKAGES | {"tinker", "tinker_cookbook", "minpost"}
"""Root packages of every source framework, those that are not converted yet included."""

_BY_NAME = frozenset({"import_module", "__import__"})
Pair = tuple[Found, Row | None]


def python_uses(text: str, tables: Tables) -> list[Use]:
    """Return the uses in a module, by position.

    Raises:
        SyntaxError: *text* is not Python.
    """
    tree = ast.parse(text)
    facts = collect(text, tree, PACKAGES)
    pairs = [
        *_imports(facts, tables),
        *_calls(facts, tables),
        *_objects(facts, tables),
        *_batches(facts, tables),
        *_imports_by_name(text, tree, tables),
    ]
    pairs.sort(key=lambda pair: (pair[0].span, pair[0].kind))
    return [outlook(found, row) for found, row in pairs]


def _imports(facts: Facts, tables: Tables) -> Iterator[Pair]:
    for item in facts.imports:
        yield item.found, tables.row(item.qualified)


def _calls(facts: Facts, tables: Tables) -> Iterator[Pair]:
    for call in facts.calls:
        yield call.found, tables.row(call.qualified)
        yield from _arguments(call.arguments, call.qualified, tables)


def _arguments(arguments: tuple[Argument, ...], owner: str, tables: Tables) -> Iterator[Pair]:
    for argument in arguments:
        yield argument.found, row_of_argument(tables, owner, argument.found)
        for element in argument.elements:
            yield element, tables.row(element.name)


def _objects(facts: Facts, tables: Tables) -> Iterator[Pair]:
    for use in facts.uses:
        owner = facts.calls[use.call].qualified
        row = row_of_method(tables, owner, use.chain)
        yield use.found, row
        for argument in use.arguments:
            yield argument.found, row
    for method in facts.overridden:
        name = method.found.name.rpartition(".")[2]
        yield method.found, row_of_method(tables, method.base, name)


def _batches(facts: Facts, tables: Tables) -> Iterator[Pair]:
    for use in facts.batches:
        row = tables.row(f"{use.owner}.{use.attributes[0]}")
        yield use.found, row
        for argument in use.arguments:
            yield argument.found, row


def _imports_by_name(text: str, tree: ast.Module, tables: Tables) -> Iterator[Pair]:
    """Yield `importlib.import_module("trl")` and its kind."""
    source = SourceText(text)
    for node in walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function, value = node.func, node.args[0]
        name = function.attr if isinstance(function, ast.Attribute) else None
        name = function.id if isinstance(function, ast.Name) else name
        if name not in _BY_NAME or not isinstance(value, ast.Constant):
            continue
        if isinstance(value.value, str) and value.value.partition(".")[0] in PACKAGES:
            span = source.span(node)
            found = Found(
                kind=Kind.IMPORT, name=value.value, span=span, source_text=source.slice(span)
            )
            yield found, tables.row(value.value)

"""Which variables hold what a parser of options made: followed from the parser to each name.

A parser is a call of `HfArgumentParser` or `TrlParser`; its `parse_*` methods return one object for
each class it was given. Those are followed through names, unpacking, subscripts, the file's own
functions and their parameters.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mint_migrate.analyse.columns import function_results
from mint_migrate.analyse.scopes import Bound, ModuleScopes, ScopeInfo
from mint_migrate.analyse.text import SourceText
from mint_migrate.model.facts import OptionClass, OptionField, Parsed

PARSERS = frozenset({"HfArgumentParser", "TrlParser"})
DEPTH = 12
"""Names and functions that are followed one after the other, at most."""


@dataclass(frozen=True, slots=True)
class _Made:
    """One object that a parser makes: the parser's call, and the class as the script names it."""

    parser: ast.Call
    made: ast.expr


_Result = _Made | list[_Made] | None


class ParserTracker:
    """Follows the results of parsers through one module."""

    def __init__(
        self,
        tree: ast.Module,
        source: SourceText,
        scopes: ModuleScopes,
        numbers: Mapping[ast.Call, int],
    ) -> None:
        self.tree = tree
        self.source = source
        self.scopes = scopes
        self.numbers = numbers
        self.functions: dict[str, list[ast.FunctionDef]] = {}
        self.sites: dict[str, list[ast.Call]] = {}
        self.classes: dict[str, ast.ClassDef] = {}

    def _index(self) -> None:
        """Note functions, classes and calls by name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self.sites.setdefault(node.func.id, []).append(node)

    def parsed(self) -> tuple[Parsed, ...]:
        """Return every variable that holds one object of a parser."""
        if not any(self._is_parser(call) for call in self.numbers):
            return ()
        self._index()
        found = []
        for scope in self.scopes.scopes:
            for name, bounds in scope.bindings.items():
                made = self._of_bounds(name, bounds, scope, 0)
                if isinstance(made, _Made):
                    found.append(self._record(name, scope, made))
        return tuple(found)

    def _record(self, name: str, scope: ScopeInfo, made: _Made) -> Parsed:
        qualified = self.scopes.qualified(made.made)
        own = self.classes.get(made.made.id) if isinstance(made.made, ast.Name) else None
        base = next(
            (each for item in (own.bases if own else []) if (each := self.scopes.qualified(item))),
            None,
        )
        return Parsed(
            name=name,
            scope=scope.number,
            parser=self.numbers[made.parser],
            made=OptionClass(
                name=self.source.of(made.made),
                qualified=qualified or base,
                is_own=qualified is None,
                fields=tuple(self._fields(own)) if own is not None else (),
            ),
        )

    def _fields(self, node: ast.ClassDef) -> Iterable[OptionField]:
        """Return the annotated fields of a class, with the text of their defaults."""
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                yield OptionField(name=item.target.id, default=self._default(item.value))

    def _default(self, value: ast.expr | None) -> str | None:
        """Return the default in `= value` or `= field(default=value)`."""
        if isinstance(value, ast.Call):
            value = next((item.value for item in value.keywords if item.arg == "default"), None)
        return None if value is None else self.source.of(value)

    def _is_parser(self, call: ast.Call) -> bool:
        qualified = self.scopes.qualified(call.func) if call in self.numbers else None
        return qualified is not None and qualified.rsplit(".", 1)[-1] in PARSERS

    def _parser(self, node: ast.expr, depth: int) -> ast.Call | None:
        """Return the call that makes the parser which an expression is."""
        if isinstance(node, ast.Call):
            if self._is_parser(node):
                return node
            results = self._results(node)
            found = [self._parser(item, depth + 1) for item in results] if depth < DEPTH else []
            return next((item for item in found if item is not None), None)
        for bound in self._bounds(node):
            found_here = (
                self._parser(bound.value, depth + 1) if bound.value and depth < DEPTH else None
            )
            if found_here is not None:
                return found_here
        return None

    def _bounds(self, node: ast.expr) -> list[Bound]:
        if not isinstance(node, ast.Name):
            return []
        found = self.scopes.lookup(node.id, self.scopes.scope_of[node])
        return found[1] if found is not None else []

    def _results(self, call: ast.Call) -> list[ast.expr]:
        """Return what a function of the file returns, where a call is one of it."""
        name = call.func.id if isinstance(call.func, ast.Name) else None
        functions = self.functions.get(name or "", [])
        return function_results(functions[0]) if len(functions) == 1 else []

    def _made(self, parser: ast.Call) -> list[_Made]:
        """Return what a parser makes, in the order of its classes."""
        given = parser.args[0] if parser.args else None
        for keyword in parser.keywords:
            given = keyword.value if keyword.arg == "dataclass_types" else given
        values = [bound.value for bound in self._bounds(given)] if given is not None else []
        listed = next(
            (item for item in (given, *values) if isinstance(item, ast.Tuple | ast.List)), None
        )
        if listed is not None:
            return [_Made(parser, item) for item in listed.elts]
        return [] if given is None else [_Made(parser, given)]

    def _value(self, node: ast.expr, depth: int) -> _Result:
        """Return what an expression holds: one object, all of a parser, or nothing of one."""
        if depth > DEPTH:
            return None
        match node:
            case ast.Call(func=ast.Attribute(attr=method, value=owner)) if method.startswith(
                "parse_"
            ):
                parser = self._parser(owner, depth)
                return None if parser is None else self._made(parser)
            case ast.Call():
                values = [self._value(item, depth + 1) for item in self._results(node)]
                return _agreed(values)
            case ast.Subscript(value=inner, slice=ast.Constant(value=int(index))):
                return _at(self._value(inner, depth + 1), index)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                parts = [self._value(item, depth + 1) for item in items]
                whole = [item for item in parts if isinstance(item, _Made)]
                return whole if whole and len(whole) == len(parts) else None
            case ast.Name():
                found = self.scopes.lookup(node.id, self.scopes.scope_of[node])
                if found is not None:
                    return self._of_bounds(node.id, found[1], found[0], depth + 1)
        return None

    def _of_bounds(self, name: str, bounds: list[Bound], scope: ScopeInfo, depth: int) -> _Result:
        """Return what a name holds, where all that is said of it agrees."""
        return _agreed([self._of_bound(name, bound, scope, depth) for bound in bounds])

    def _of_bound(self, name: str, bound: Bound, scope: ScopeInfo, depth: int) -> _Result:
        if depth > DEPTH:
            return None
        if bound.kind == "parameter":
            return self._of_parameter(name, scope, depth)
        if bound.value is not None:
            return self._value(bound.value, depth + 1)
        statement = bound.statement
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return None
        target = statement.targets[0]
        if not isinstance(target, ast.Tuple | ast.List):
            return None
        names = [item.id if isinstance(item, ast.Name) else None for item in target.elts]
        return _at(
            self._value(statement.value, depth + 1), names.index(name) if name in names else 99
        )

    def _of_parameter(self, name: str, scope: ScopeInfo, depth: int) -> _Result:
        """Return what the calls of a function hand to one of its parameters."""
        function = scope.node
        if not isinstance(function, ast.FunctionDef) or len(self.functions[function.name]) != 1:
            return None
        names = [item.arg for item in (*function.args.posonlyargs, *function.args.args)]
        values: list[_Result] = []
        for site in self.sites.get(function.name, []):
            keyword = next((item.value for item in site.keywords if item.arg == name), None)
            if keyword is not None:
                values.append(self._value(keyword, depth + 1))
            elif name in names:
                values.append(_at(self._positional(site, depth), names.index(name)))
        return _agreed(values)

    def _positional(self, site: ast.Call, depth: int) -> list[_Made | None]:
        """Return what a call hands over by position, starred results included."""
        found: list[_Made | None] = []
        for argument in site.args:
            is_starred = isinstance(argument, ast.Starred)
            value = self._value(argument.value if is_starred else argument, depth + 1)  # type: ignore[attr-defined]
            if isinstance(value, list):
                found.extend(value if is_starred else [None])
            else:
                found.append(value)
        return found


def _at(value: _Result | list[_Made | None], index: int) -> _Made | None:
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return None
    return value[index]


def _agreed(values: list[_Result]) -> _Result:
    """Return the one thing that all values are; None where they differ or one is not known."""
    if not values or any(_key(item) != _key(values[0]) for item in values):
        return None
    return values[0]


def _key(value: _Result) -> object:
    if isinstance(value, _Made):
        return (id(value.parser), ast.dump(value.made))
    return None if value is None else [_key(item) for item in value]

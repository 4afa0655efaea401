"""Collect what a script uses of the source packages: one pass over its syntax tree."""

from __future__ import annotations

import ast

from mint_migrate.analyse.batches import BatchChain, BatchTracker, uses_batches
from mint_migrate.analyse.columns import column_evidence, function_facts, function_results
from mint_migrate.analyse.entries import config_entry, entries
from mint_migrate.analyse.functions import LocalFunction, LocalFunctions, unpacked
from mint_migrate.analyse.nodes import (
    dictionary_pairs,
    in_order,
    is_one_call,
    loaded_names,
    own_function,
    place_of,
    targets_of,
)
from mint_migrate.analyse.objects import ObjectTracker
from mint_migrate.analyse.parsers import ParserTracker
from mint_migrate.analyse.scopes import SOURCE_PACKAGES, ModuleScopes, dotted
from mint_migrate.analyse.structure import (
    attributes,
    handlers,
    references,
    scope_record,
    statements,
)
from mint_migrate.analyse.text import literal_repr, source_of, standalone
from mint_migrate.model.facts import (
    Argument,
    BatchUse,
    Binding,
    Call,
    ConfigEntry,
    Facts,
    FunctionFlow,
    ImportedName,
    OverriddenMethod,
    Use,
    Value,
)
from mint_migrate.model.plan import Found, Kind
from mint_migrate.model.source import Span


def collect(text: str, tree: ast.Module, packages: frozenset[str] = SOURCE_PACKAGES) -> Facts:
    """List what the script uses of the source *packages*. Reads nothing, prints nothing."""
    return _Collector(text, tree, packages).facts()


class _Collector:
    def __init__(self, text: str, tree: ast.Module, packages: frozenset[str]) -> None:
        self.tree = tree
        self.source = source_of(text)
        self.scopes = ModuleScopes(tree, packages)
        self.call_numbers: dict[ast.Call, int] = {}
        self.nodes = list(in_order(tree))
        for node in self.nodes:
            if isinstance(node, ast.Call) and self._source_name(node) is not None:
                self.call_numbers[node] = len(self.call_numbers)

    def facts(self) -> Facts:
        self.functions = LocalFunctions(self.scopes, self.nodes)
        calls = tuple(self._call(node, number) for node, number in self.call_numbers.items())
        tracker = ObjectTracker(self.scopes, self.call_numbers, calls, self.functions)
        produced, read = column_evidence(self.tree)
        return Facts(
            imports=self._imports(),
            calls=calls,
            uses=tuple(self._uses(tracker)),
            batches=tuple(self._batches()),
            entries=tuple(self._entries()),
            overridden=tuple(self._overridden()),
            statements=statements(self.nodes, self.scopes, self.source),
            scopes=tuple(scope_record(scope) for scope in self.scopes.scopes),
            bindings=tuple(self._bindings()),
            functions=tuple(function_facts(self.tree, self.scopes)),
            returned_calls=self._returned_calls(),
            flows=tuple(map(self._flow, self.functions.all())),
            held=tuple((name, scope, number) for (scope, name), number in tracker.held.items()),
            produced_columns=produced,
            read_columns=read,
            attributes_read=attributes(self.nodes, written=False),
            attributes_written=attributes(self.nodes, written=True),
            handlers=handlers(self.nodes, self.source),
            references=tuple(references(self.nodes, self.scopes, self.source)),
            parsed=ParserTracker(self.tree, self.source, self.scopes, self.call_numbers).parsed(),
            text=self.source.text,
        )

    def _source_name(self, node: ast.Call) -> str | None:
        qualified = self.scopes.qualified(node.func)
        return qualified if self.scopes.is_source(qualified) else None

    def _found(self, kind: Kind, name: str, span: Span, text: str | None = None) -> Found:
        shown = self.source.slice(span) if text is None else text
        return Found(kind=kind, name=name, span=span, source_text=shown)

    def _imports(self) -> tuple[ImportedName, ...]:
        found: list[ImportedName] = []
        for node in self.nodes:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if isinstance(node, ast.ImportFrom) and node.level:
                continue
            for alias in node.names:
                module = alias.name if isinstance(node, ast.Import) else (node.module or "")
                if not self.scopes.is_source(module):
                    continue
                found.append(self._import(node, alias, module))
        return tuple(found)

    def _import(
        self, node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str
    ) -> ImportedName:
        is_from = isinstance(node, ast.ImportFrom)
        qualified = f"{module}.{alias.name}" if is_from else module
        bound = alias.asname or (alias.name if is_from else module.split(".", 1)[0])
        return ImportedName(
            found=self._found(Kind.IMPORT, qualified, self.source.span(alias)),
            bound=bound,
            qualified=qualified,
            statement=self.source.span(node),
            scope=self.scopes.scope_of[node].number,
            is_star=alias.name == "*",
        )

    def _call(self, node: ast.Call, number: int) -> Call:
        qualified = self._source_name(node)
        assert qualified is not None
        span = self.source.span(node)
        statement = self.scopes.statement_of[node]
        target, targets = targets_of(statement, node)
        is_expression = isinstance(statement, ast.Expr) and statement.value is node
        return Call(
            number=number,
            found=self._found(Kind.CALL, qualified, span),
            qualified=qualified,
            arguments=self._arguments(node, qualified),
            statement=self.source.span(statement),
            scope=self.scopes.scope_of[node].number,
            target=target,
            targets=targets,
            is_statement=is_expression or bool(targets),
            parent=self._parent_call(node),
            own_class=self.scopes.own_class(node.func),
        )

    def _parent_call(self, node: ast.AST) -> int | None:
        current = self.scopes.parent.get(node)
        while current is not None and not isinstance(current, ast.stmt):
            if isinstance(current, ast.Call) and current in self.call_numbers:
                return self.call_numbers[current]
            current = self.scopes.parent.get(current)
        return None

    def _arguments(self, node: ast.Call, owner: str) -> tuple[Argument, ...]:
        pieces: list[tuple[str | None, ast.expr, ast.AST]] = [
            (None, argument, argument) for argument in node.args
        ]
        pieces += [(keyword.arg, keyword.value, keyword) for keyword in node.keywords]
        pieces.sort(key=lambda piece: (piece[1].lineno, piece[1].col_offset))
        arguments: list[Argument] = []
        previous_end = node.func.end_lineno or node.lineno
        position = 0
        for keyword, value, place in pieces:
            is_splat = isinstance(place, ast.keyword) and keyword is None
            if is_splat:
                keys = self._splat(node, owner, value)
                if keys is not None:
                    arguments.extend(keys)
                    continue
            index = position if not isinstance(place, ast.keyword) else -1
            position += 0 if isinstance(place, ast.keyword) else 1
            argument = self._argument(node, owner, keyword, value, place, index, previous_end)
            previous_end = (place.end_lineno or 0) + (1 if argument.trailing else 0)  # type: ignore[attr-defined]
            arguments.append(argument)
        return tuple(arguments)

    def _argument(
        self,
        call: ast.Call,
        owner: str,
        keyword: str | None,
        value: ast.expr,
        place: ast.AST,
        index: int,
        comments_from: int,
    ) -> Argument:
        star = "**" if isinstance(place, ast.keyword) and keyword is None else ""
        star = "*" if isinstance(value, ast.Starred) else star
        name = f"{owner}.{keyword}" if keyword else f"{owner}[{star or index}]"
        span = self.source.span(place)  # type: ignore[arg-type]
        above, behind = self.source.comments_around(span, comments_from, call.end_lineno or 0)
        return Argument(
            found=self._found(Kind.ARGUMENT, name, span),
            keyword=keyword,
            index=index,
            star=star,
            value=self._value(value),
            comments=tuple(above),
            trailing=behind,
            elements=self._elements(keyword, value),
        )

    def _elements(self, keyword: str | None, value: ast.expr) -> tuple[Found, ...]:
        if keyword != "callbacks" or not isinstance(value, ast.List):
            return ()
        return tuple(
            self._found(Kind.CALLBACK, self._element_name(element), self.source.span(element))
            for element in value.elts
        )

    def _element_name(self, element: ast.expr) -> str:
        function = element.func if isinstance(element, ast.Call) else element
        return self.scopes.qualified(function) or self.source.of(function)

    def _splat(self, node: ast.Call, owner: str, value: ast.expr) -> list[Argument] | None:
        """Return the keys of `**name` as arguments, where the dictionary can be seen."""
        if not isinstance(value, ast.Name):
            return None
        found = self.scopes.lookup(value.id, self.scopes.scope_of[node])
        if found is None or len(found[1]) != 1 or found[0] is not self.scopes.scope_of[node]:
            return None
        pairs = dictionary_pairs(found[1][0].value)
        if pairs is None:
            return None
        arguments = []
        for key, item, place in pairs:
            span = self.source.span(place)
            end = self.source.span(item)
            whole = Span(
                line=span.line, column=span.column, end_line=end.end_line, end_column=end.end_column
            )
            arguments.append(
                Argument(
                    found=self._found(Kind.CONFIG_KEY, f"{owner}.{key}", whole),
                    keyword=key,
                    index=-1,
                    star="",
                    value=self._value(item),
                    comments=(),
                    trailing="",
                    splat=value.id,
                )
            )
        return arguments

    def _value(self, node: ast.expr) -> Value:
        inner = node.value if isinstance(node, ast.Starred) else node
        return Value(
            text=standalone(inner, self.source.of(inner)),
            span=self.source.span(inner),
            literal=literal_repr(inner),
            name=dotted(inner),
            call=self.call_numbers.get(inner) if isinstance(inner, ast.Call) else None,
            maker=own_function(inner),
            loads=tuple(sorted(loaded_names(inner))),
            function=self._function(inner),
        )

    def _function(self, node: ast.expr) -> int | None:
        found = self.functions.called(node) if isinstance(node, ast.Call) else None
        return None if found is None else found.scope.number

    def _flow(self, function: LocalFunction) -> FunctionFlow:
        return FunctionFlow(
            scope=function.scope.number,
            results=tuple(
                tuple(map(self._value, result.elts if isinstance(result, ast.Tuple) else [result]))
                for result in function.results
            ),
            calls=tuple(
                (
                    self.source.span(self.scopes.statement_of[call]),
                    self.scopes.scope_of[call].number,
                    tuple((name, self._value(value)) for name, value in passed),
                )
                for call, passed in function.passed()
            ),
            texts=function.texts(),
        )

    def _uses(self, tracker: ObjectTracker) -> list[Use]:
        uses = []
        for use in tracker.uses(self.nodes):
            top, chain = use.outermost, use.chain
            span = self.source.span(top)
            owner = f"{use.owner}.{chain}"
            statement = self.scopes.statement_of[top]
            target, targets = targets_of(statement, top)
            arguments = tuple(
                argument for call in use.calls for argument in self._arguments(call, owner)
            )
            is_expression = isinstance(statement, ast.Expr) and statement.value is top
            is_store = isinstance(top, ast.Attribute) and isinstance(top.ctx, ast.Store)
            uses.append(
                Use(
                    found=self._found(Kind.METHOD, owner, span),
                    root=use.root,
                    call=use.number,
                    chain=chain,
                    is_call=isinstance(top, ast.Call),
                    is_store=is_store,
                    arguments=arguments,
                    statement=self.source.span(statement),
                    scope=self.scopes.scope_of[top].number,
                    is_statement=is_expression or bool(targets) or is_store,
                    target=target,
                )
            )
        return uses

    def _batches(self) -> list[BatchUse]:
        if not uses_batches(self.scopes):
            return []
        chains = BatchTracker(self.scopes, self.functions, self.nodes).chains(self.nodes)
        return [self._batch(chain) for chain in chains]

    def _entries(self) -> list[ConfigEntry]:
        found = entries(self.nodes, self.scopes) if uses_batches(self.scopes) else ()
        return [config_entry(each, self.source, self.scopes) for each in found]

    def _batch(self, chain: BatchChain) -> BatchUse:
        name = ".".join([chain.owner, *chain.attributes])
        top = chain.outermost
        return BatchUse(
            found=self._found(Kind.METHOD, name, self.source.span(top)),
            owner=chain.owner,
            root=chain.root,
            attributes=chain.attributes,
            arguments=tuple(each for call in chain.calls for each in self._arguments(call, name)),
            key=chain.key,
            statement=self.source.span(self.scopes.statement_of[top]),
            scope=self.scopes.scope_of[top].number,
        )

    def _overridden(self) -> list[OverriddenMethod]:
        found = []
        for node in self.nodes:
            if not isinstance(node, ast.ClassDef):
                continue
            bases = [self.scopes.qualified(base) for base in node.bases]
            base = next((name for name in bases if self.scopes.is_source(name)), None)
            if base is None:
                continue
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    span = self.source.span(item)
                    place = Span(
                        line=span.line,
                        column=span.column,
                        end_line=span.line,
                        end_column=span.column + 3,
                    )
                    name = f"{base}.{item.name}"
                    found.append(
                        OverriddenMethod(
                            found=self._found(Kind.METHOD, name, place, f"def {item.name}"),
                            base=base,
                            class_name=node.name,
                            class_statement=self.source.span(node),
                        )
                    )
        return found

    def _bindings(self) -> list[Binding]:
        return [
            Binding(
                name=name,
                scope=scope.number,
                kind=bound.kind,
                statement=self.source.span(place_of(bound)),
                value=self._value(bound.value) if bound.value is not None else None,
                unpacked=self._value(whole[0]) if (whole := unpacked(bound, name)) else None,
                index=whole[1] if whole else 0,
            )
            for scope in self.scopes.scopes
            for name, bounds in scope.bindings.items()
            for bound in bounds
        ]

    def _returned_calls(self) -> tuple[tuple[str, int], ...]:
        found = []
        for node in self.nodes:
            if not isinstance(node, ast.FunctionDef):
                continue
            results = function_results(node)
            number = self.call_numbers.get(results[0]) if is_one_call(results) else None
            if number is not None:
                found.append((node.name, number))
        return tuple(found)

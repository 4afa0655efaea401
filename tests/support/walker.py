"""Count what a migration has to decide on, independently of the migrator.

`found` lists every place where a script touches a source framework: imported names, calls,
their arguments, keys of splatted dicts, callbacks, and what is done with trainers and models.
It works on the standard library's `ast` alone and shares nothing with `mint_migrate`, so that a
test may hold the migrator's decisions against a count that the migrator did not make.

The rules:

* A name belongs to a source package if every binding of it in its scope is an import from one.
  Any other binding there (assignment, parameter, `def`, `class`, foreign import) shadows it.
  Lookup is lexical; a class body is visible only to itself, a comprehension is its own scope.
* A class of the script that derives from a trainer first of all is that trainer where it is called.
* A star import counts once and resolves no names: which names it brings is not in the source.
* Trainers are tracked from the call that makes them (`...Trainer(...)`) to a name or to
  `self.<name>` in the same class; so are models. If one name is bound several times, a use
  belongs to the last tracked binding before it. They are followed through other names, out of
  functions of the file that return them (`support.flow`), and into parameters that are given one
  wherever the function is called.
* In a file that imports verl, the options it composes or makes a configuration of count as well.
* Batches of verl (`DataProto`) and what works on them are tracked too (`support.batches`); of a
  chain on one, what stands behind the first subscript is the user's.
* A chain such as `trainer.model.save_pretrained(p)` is one item however long it is; the
  arguments of every call inside it are items of their own.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from support.batches import Batches
from support.flow import Flow, Origin
from support.scopes import (
    Binder,
    Scope,
    Scoped,
    is_self,
    is_source,
    qualified_name,
)

Kind = Literal["import", "call", "argument", "config_key", "callback", "method"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing the migrator must decide on.

    Attributes:
        kind: What sort of thing it is.
        name: Qualified name as imported, for example `trl.SFTConfig.learning_rate`.
        line: Line, from 1.
        column: Column in characters, from 1.
    """

    kind: Kind
    name: str
    line: int
    column: int


def found(source: str) -> list[Item]:
    """List every item of a script, ordered by position.

    Args:
        source: The text of a Python module.

    Returns:
        The items; two of them may share a position (a callback that is also a call).

    Raises:
        SyntaxError: If the text is not Python.
    """
    tree = ast.parse(source)
    binder = Binder()
    binder.visit_Module(tree)
    collector = _Collector(binder.scopes, Flow(tree, binder.scopes), source)
    collector.batches = Batches(tree, binder.scopes)
    collector.imports_verl = any(
        (binding.qualified or "").partition(".")[0] == "verl"
        for scope in binder.scopes.values()
        for bindings in scope.names.values()
        for binding in bindings
    )
    collector.visit_Module(tree)
    return sorted(collector.items, key=lambda item: (item.line, item.column))


def counts(source: str) -> dict[str, int]:
    """Count the items of a script by kind; kinds without an item are left out."""
    return dict(sorted(Counter(item.kind for item in found(source)).items()))


class _Collector(Scoped):
    """Second pass: the items."""

    def __init__(self, scopes: dict[ast.AST, Scope], flow: Flow, source: str) -> None:
        super().__init__(scopes)
        self.flow = flow
        self.batches: Batches | None = None
        self.imports_verl = False
        self.items: list[Item] = []
        self.lines = source.encode().splitlines()

    def add(self, kind: Kind, name: str, node: ast.AST) -> None:
        line, offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
        column = len(self.lines[line - 1][:offset].decode(errors="replace")) + 1
        self.items.append(Item(kind=kind, name=name, line=line, column=column))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if is_source(alias.name):
                self.add("import", alias.name, alias)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level and is_source(node.module or ""):
            for alias in node.names:
                self.add("import", f"{node.module}.{alias.name}", alias)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = [name for base in node.bases if (name := qualified_name(base, self.scope))]
        for statement in node.body if bases else ():
            if isinstance(statement, _FUNCTIONS):
                self.add("method", f"{bases[0]}.{statement.name}", statement)
        super().visit_ClassDef(node)

    def visit_Call(self, node: ast.Call) -> None:
        self.add_options(node)
        name = qualified_name(node.func, self.scope)
        if name is None:
            self.visit_chain(node)
            return
        self.add("call", name, node)
        self.add_arguments(name, node, splat=True)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.visit_chain(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit_chain(node)

    def visit_chain(self, node: ast.Call | ast.Attribute | ast.Subscript) -> None:
        """Count a chain of attributes, calls and subscripts if it starts at a tracked object."""
        root, links = unwind(node)
        if self.visit_batch(node, root, links):
            return
        origin = _tracked_root(self.flow, root, links, self.scope)
        if origin is None:
            self.generic_visit(node)
            return
        path = origin.name
        self.add("method", ".".join([path, *_leading_attributes(links)]), node)
        for link in links:
            if isinstance(link, ast.Attribute):
                path = f"{path}.{link.attr}"
            elif isinstance(link, ast.Call):
                self.add_arguments(path, link, splat=True)
                self.visit_all([*link.args, *link.keywords])
            else:
                self.visit(link.slice)

    def add_options(self, node: ast.Call) -> None:
        """Count the options of verl in `compose(overrides=[...])` and `OmegaConf.create({...})`."""
        target = ast.unparse(node.func)
        if not self.imports_verl:
            return
        if target.split(".")[-1] == "compose":
            for keyword in node.keywords:
                listed = self.literal(keyword.value)
                if keyword.arg == "overrides" and isinstance(listed, ast.List | ast.Tuple):
                    for element in listed.elts:
                        if re.match(r"""f?["'](~|[^"'{]*=)""", ast.unparse(element)):
                            self.add("config_key", "verl", element)
        elif target.endswith("OmegaConf.create") and node.args:
            self.add_leaves(self.literal(node.args[0]))

    def literal(self, node: ast.expr) -> ast.expr:
        """Return the one value a name is assigned, else the expression itself."""
        hit = self.scope.lookup(node.id) if isinstance(node, ast.Name) else None
        if hit is None or len(hit[1]) != 1 or hit[1][0].index is not None:
            return node
        return hit[1][0].value or node

    def add_leaves(self, node: ast.expr) -> None:
        if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(value, ast.Dict) and value.keys:
                    self.add_leaves(value)
                elif key is not None:
                    self.add("config_key", "verl", key)

    def visit_batch(
        self,
        node: ast.expr,
        root: ast.expr,
        links: list[ast.Attribute | ast.Call | ast.Subscript],
    ) -> bool:
        """Count a chain on a batch or its worker, up to the first subscript."""
        assert self.batches is not None
        start: ast.expr = root
        rest = links
        if is_self(root) and links and isinstance(links[0], ast.Attribute):
            start, rest = links[0], links[1:]
        holds = self.batches.holder(start, self.scope)
        if holds is None or not rest or not isinstance(rest[0], ast.Attribute):
            return False
        self.add("method", f"verl.{holds}", node)
        counted = True
        for link in rest:
            if isinstance(link, ast.Subscript):
                counted = False
                self.visit(link.slice)
            elif isinstance(link, ast.Call):
                if counted:
                    self.add_arguments(f"verl.{holds}", link, splat=True)
                self.visit_all([*link.args, *link.keywords])
        return True

    def add_arguments(self, name: str, call: ast.Call, *, splat: bool) -> None:
        for index, argument in enumerate(call.args):
            self.add("argument", f"{name}[{index}]", argument)
        for keyword in call.keywords:
            keys = _splatted_keys(keyword, self.scope) if splat else None
            if keys is not None:
                for key, node in keys:
                    self.add("config_key", f"{name}.{key}", node)
                continue
            self.add("argument", f"{name}.{keyword.arg}" if keyword.arg else f"{name}.**", keyword)
            if splat and keyword.arg == "callbacks" and isinstance(keyword.value, ast.List):
                for element in keyword.value.elts:
                    self.add("callback", self.callback_name(element), element)

    def callback_name(self, element: ast.expr) -> str:
        target = element.func if isinstance(element, ast.Call) else element
        return qualified_name(target, self.scope) or ast.unparse(target)


def unwind(node: ast.expr) -> tuple[ast.expr, list[ast.Attribute | ast.Call | ast.Subscript]]:
    """Split a chain into its root expression and its links, innermost first."""
    links: list[ast.Attribute | ast.Call | ast.Subscript] = []
    while isinstance(node, ast.Attribute | ast.Call | ast.Subscript):
        links.append(node)
        node = node.func if isinstance(node, ast.Call) else node.value
    return node, links[::-1]


def _leading_attributes(links: list[ast.Attribute | ast.Call | ast.Subscript]) -> list[str]:
    names: list[str] = []
    for link in links:
        if not isinstance(link, ast.Attribute):
            break
        names.append(link.attr)
    return names


def _tracked_root(
    flow: Flow,
    root: ast.expr,
    links: list[ast.Attribute | ast.Call | ast.Subscript],
    scope: Scope,
) -> Origin | None:
    """Return the trainer or model at the start of a chain; `self.x` is taken off `links`."""
    if not links or not isinstance(root, ast.Name) or not isinstance(links[0], ast.Attribute):
        return None
    at = (root.lineno, root.col_offset)
    hit = scope.lookup(root.id)
    origin = flow.latest(hit[1], scope, at, frozenset()) if hit else None
    if origin is not None:
        return origin
    owner = scope.enclosing_class()
    if not is_self(root) or owner is None or len(links) < 2:
        return None
    origin = flow.latest(owner.attributes.get(links[0].attr, []), scope, at, frozenset())
    if origin is None or not isinstance(links[1], ast.Attribute):
        return None
    del links[0]
    return origin


def _splatted_keys(keyword: ast.keyword, scope: Scope) -> list[tuple[str, ast.AST]] | None:
    """Return the keys behind `**name` if the same scope binds that name once, to a dict."""
    if keyword.arg is not None or not isinstance(keyword.value, ast.Name):
        return None
    bindings = scope.names.get(keyword.value.id, [])
    value = bindings[0].value if len(bindings) == 1 and bindings[0].index is None else None
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return [(_key_name(key), inner if key is None else key) for key, inner in pairs]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        named = [(keyword.arg or "**", keyword) for keyword in value.keywords]
        return [*((f"[{i}]", arg) for i, arg in enumerate(value.args)), *named]
    return None


def _key_name(key: ast.expr | None) -> str:
    if key is None:
        return "**"
    return str(key.value) if isinstance(key, ast.Constant) else ast.unparse(key)

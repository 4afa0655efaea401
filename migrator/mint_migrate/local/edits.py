"""What changes in the text of a file when it becomes part of one module with others."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator

from mint_migrate.analyse.walk import walk
from mint_migrate.local.names import Names
from mint_migrate.local.needs import Needs, Refusal
from mint_migrate.local.units import Unit, imports_in

Edit = tuple[int, int, str]
"""(start, end, what stands there instead)"""
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_HEAD = re.compile(r"(?:async\s+)?(?:def|class)\s+")


class Edits:
    """Finds the edits of each file."""

    def __init__(self, needs: Needs, names: Names) -> None:
        self.needs = needs
        self.names = names

    def of(self, unit: Unit, statements: Iterable[ast.stmt]) -> list[Edit]:
        """Return the edits below some statements of a file.

        Raises:
            Refusal: a name cannot be written otherwise where it stands.
        """
        found: dict[tuple[int, int], str] = {}
        for statement in statements:
            self._check_alone(unit, statement)
            for start, end, text in (
                *self._references(unit, statement),
                *self._heads(unit, statement),
                *self._imports(unit, statement),
            ):
                found[start, end] = text
        return [(start, end, text) for (start, end), text in found.items()]

    def import_lead(
        self, unit: Unit, statement: ast.Import | ast.ImportFrom, alias: ast.alias
    ) -> str:
        """Return the words in front of the names of an import, as the script has to write them."""
        found = self.needs.imported(unit, alias, statement)
        if isinstance(statement, ast.Import):
            if found.path is not None:
                self._check_same(unit, statement, alias.name, found.path)
            return "import "
        if found.path is None:
            return f"from {'.' * statement.level}{statement.module or ''} import "
        module = "." * statement.level + (statement.module or "")
        if not statement.level and self.needs.script.find(module, self.needs.root) == unit.find(
            module, self.needs.root
        ):
            return f"from {module} import "
        own = found.path if found.attribute is not None else None
        spelled = self._spelled(own) if own is not None else None
        if spelled is None:
            raise Refusal(unit, statement, f"`{module}` cannot be imported from the script")
        return f"from {spelled} import "

    def _check_same(self, unit: Unit, node: ast.stmt, module: str, path: str) -> None:
        if self.needs.script.find(module, self.needs.root) != path:
            raise Refusal(unit, node, f"`{module}` is another file for the script")

    def _spelled(self, path: str) -> str | None:
        """Return the name by which the script imports a file of the project."""
        script = self.needs.script
        root = self.needs.root
        for folder in (os.path.dirname(os.path.abspath(script.path)), root, f"{root}/src"):
            relative = os.path.relpath(os.path.splitext(path)[0], folder)
            name = relative.removesuffix(f"{os.sep}__init__").replace(os.sep, ".")
            if not name.startswith(".") and script.find(name, root) == path:
                return name
        return None

    def _check_alone(self, unit: Unit, statement: ast.stmt) -> None:
        """A statement is moved with its lines."""
        body = unit.tree.body
        index = body.index(statement)
        if index + 1 < len(body) and body[index + 1].lineno == statement.end_lineno:
            raise Refusal(unit, statement, "two statements share a line")

    def _references(self, unit: Unit, statement: ast.stmt) -> Iterator[Edit]:
        for each in unit.references(statement, self.needs.root):
            called = self.names.of(unit, each)
            if called is None:
                continue
            is_ours = each.imported is not None and each.imported.path in self.needs.joined
            node = each.imported.node if is_ours and each.imported is not None else each.node
            start, end = unit.offsets(node)
            if is_ours and not isinstance(getattr(node, "ctx", None), ast.Load):
                raise Refusal(unit, node, "a name of another module is bound again here")
            written = ast.unparse(node)
            if written == called:
                continue
            if "".join(unit.text[start:end].split()) != written:
                raise Refusal(unit, node, f"`{written}` cannot be renamed where it stands")
            yield start, end, called

    def _heads(self, unit: Unit, statement: ast.stmt) -> Iterator[Edit]:
        """Yield the edits of definitions that get another name."""
        if unit is self.needs.script:
            return
        for node in walk(statement):
            if isinstance(node, ast.Global):
                renamed = [each for each in node.names if self._renamed(unit, each)]
                if renamed:
                    raise Refusal(unit, node, f"`{renamed[0]}` is bound from a function")
            if not isinstance(node, _DEFINES) or unit.scopes.scope_of[node] is not unit.top:
                continue
            called = self._renamed(unit, node.name)
            if called:
                start = unit.offsets(node)[0]
                head = _HEAD.match(unit.text, start)
                assert head is not None, "a definition starts with its keyword"
                yield head.end(), head.end() + len(node.name), called

    def _renamed(self, unit: Unit, name: str) -> str | None:
        called = self.names.own.get((unit.path, name), name)
        return called if called != name else None

    def _imports(self, unit: Unit, statement: ast.stmt) -> Iterator[Edit]:
        """Yield the edits that take out imports of what comes, and that spell others anew."""
        for node in imports_in(statement):
            kept = [alias for alias in node.names if not self._comes(unit, node, alias)]
            start, end = unit.offsets(node)
            if len(kept) == len(node.names):
                if unit is not self.needs.script:
                    yield from self._elsewhere(unit, node)
            elif kept:
                yield start, end, ast.unparse(_with_names(node, kept))
            elif _is_only(unit, node):
                yield start, end, "pass"
            else:
                line = unit.start(node.lineno)
                after = unit.start((node.end_lineno or node.lineno) + 1)
                is_alone = not unit.text[line:start].strip()
                rest = unit.text[end:after].strip()
                whole = is_alone and (not rest or rest.startswith("#"))
                yield (line, after, "") if whole else (start, end, "pass")

    def _elsewhere(self, unit: Unit, node: ast.Import | ast.ImportFrom) -> Iterator[Edit]:
        for alias in node.names:
            if alias.name == "*":
                raise Refusal(unit, node, "a star import does not say what it binds")
            name = alias.asname or alias.name.partition(".")[0]
            if unit.scopes.scope_of[node] is unit.top and self._renamed(unit, name):
                raise Refusal(unit, node, f"`{name}` means something else in the script")
        leads = {self.import_lead(unit, node, alias) for alias in node.names}
        if len(leads) > 1:
            raise Refusal(unit, node, "the names come from several modules")
        if isinstance(node, ast.ImportFrom) and node.level:
            bare = ast.unparse(ast.Import(names=node.names)).removeprefix("import ")
            yield *unit.offsets(node), f"{leads.pop()}{bare}"

    def _comes(self, unit: Unit, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> bool:
        if alias.name == "*":
            return False
        return self.needs.imported(unit, alias, node).path in self.needs.joined


def _with_names(node: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    if isinstance(node, ast.Import):
        return ast.Import(names=names)
    return ast.ImportFrom(module=node.module, names=names, level=node.level)


def _is_only(unit: Unit, node: ast.stmt) -> bool:
    """Say whether a statement is the only one of its block, which may not become empty."""
    parent = unit.scopes.parent[node]
    if isinstance(parent, ast.Module):
        return False
    blocks = [getattr(parent, name, None) for name in ("body", "orelse", "finalbody")]
    return any(block == [node] for block in blocks)

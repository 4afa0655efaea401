"""What a script needs of the modules that have to come with it.

A module of the project comes with a script when something that is imported from it, and all that
reads in turn, uses a source framework. Then everything that is imported from it comes, and what
importing it does besides binding names. All other modules stay what they are: imports.
"""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterator
from dataclasses import dataclass

from mint_migrate.local.effects import has_effect
from mint_migrate.local.units import Import, Imported, Reference, Unit, imports_in, read_unit

MOST_COMING = 16
"""Files that come with a script; a result of more is nobody's script any more."""
MOST_READ = 64
"""Files that are looked at for one script."""
Key = tuple[str, str]
"""(file, name at its top level)"""
_BUILTINS = frozenset({*dir(builtins), "__name__", "__doc__"})


class Refusal(Exception):
    """A module cannot come with the script; says where, and why."""

    def __init__(self, unit: Unit, node: ast.expr | ast.stmt | ast.alias, reason: str) -> None:
        super().__init__(reason)
        self.path = unit.path
        self.line = node.lineno
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Alias:
    """One name that an import statement at the top of a module binds to something outside."""

    statement: ast.Import | ast.ImportFrom
    alias: ast.alias

    @property
    def bound(self) -> str:
        """The name that is bound."""
        return self.alias.asname or self.alias.name.partition(".")[0]


class Needs:
    """Follows what a script reads, from file to file."""

    def __init__(self, script: Unit, root: str) -> None:
        self.script = script
        self.root = root
        self.units: dict[str, Unit] = {script.path: script}
        self.joined: list[str] = []
        """Files that come with the script; one that another one reads comes before it."""
        self.taken: dict[str, set[ast.stmt]] = {}
        """Their statements that are needed."""
        self.aliases: dict[str, set[Alias]] = {}
        """What they import from elsewhere."""
        self._uses: dict[Key, bool] = {}

    def find(self, *, everything: bool = False) -> bool:
        """Find what is needed; False where nothing has to come.

        Args:
            everything: values and classes come, whatever is behind them.

        Raises:
            Refusal: something is needed that cannot come.
        """
        joined: set[str] = set()
        while True:
            asked = self._collect(joined)
            new = {
                path
                for path, name in asked
                if (everything and self._is_value(path, name)) or self._involves(path, name)
            }
            if joined:
                new |= {path for path, _ in asked if self._reads(path, joined)}
            new -= joined
            if not new:
                return bool(joined)
            joined |= new

    def unit(self, path: str) -> Unit | None:
        """Return a file of the project; None where it does not parse."""
        if path not in self.units:
            if len(self.units) > MOST_READ:
                return None
            unit = read_unit(path)
            if unit is None:
                return None
            self.units[path] = unit
        return self.units[path]

    def ordered(self) -> list[str]:
        """Return the files that come; one that another one imports is before it."""
        done: list[str] = []

        def visit(unit: Unit, above: tuple[str, ...]) -> None:
            found = [
                self.imported(unit, alias, statement).path
                for statement in sorted(imports_in(unit.tree), key=lambda each: each.lineno)
                for alias in statement.names
                if alias.name != "*"
            ]
            for path in found:
                if path in self.joined and path not in done and path not in above:
                    assert path is not None
                    visit(self.units[path], (*above, path))
                    done.append(path)

        visit(self.script, ())
        return [*done, *(path for path in self.joined if path not in done)]

    def canonical(self, path: str, name: str, *, everywhere: bool = False) -> Key:
        """Return where a name is defined that a module hands on: one that comes, or any."""
        seen: set[Key] = set()
        while (path, name) not in seen:
            seen.add((path, name))
            found = self._handed_on(path, name)
            if found is None or found.path is None or found.attribute is None:
                break
            if not everywhere and found.path not in self.joined:
                break
            path, name = found.path, found.attribute
        return path, name

    def imported(self, unit: Unit, alias: ast.alias, statement: Import) -> Imported:
        """Return what one name of an import statement stands for."""
        scope = unit.scopes.scope_of[statement]
        bound = alias.asname or alias.name.partition(".")[0]
        bounds = scope.bindings.get(bound) or unit.top.bindings[bound]
        own = next(each for each in bounds if each.statement is statement)
        return unit.imported(own, bound, None, self.root)

    def _handed_on(self, path: str, name: str) -> Imported | None:
        unit = self.unit(path)
        bounds = unit.top.bindings.get(name, []) if unit is not None else []
        if unit is None or len(bounds) != 1 or bounds[0].kind != "import":
            return None
        return unit.imported(bounds[0], name, None, self.root)

    def _collect(self, joined: set[str]) -> set[Key]:
        """Take what is needed if *joined* come, and return every name of a module asked for."""
        self.joined, self.taken, self.aliases = [], {}, {}
        asked: set[Key] = set()
        walker = _Walk(self, joined, asked)
        for statement in self.script.tree.body:
            walker.follow(self.script, statement)
        return asked

    def _involves(self, path: str, name: str) -> bool:
        """Say whether a source framework is behind a name of a module."""
        if (path, name) not in self._uses:
            self._uses[path, name] = False
            seen: set[Key] = set()
            left = [(path, name)]
            while left:
                key = left.pop()
                if key in seen:
                    continue
                seen.add(key)
                if self._uses_source(*key):
                    self._uses[path, name] = True
                    break
                left += self._read_by(*key)
        return self._uses[path, name]

    def _is_value(self, path: str, name: str) -> bool:
        """Say whether a name is a value or a class, which a plan may have to see."""
        path, name = self.canonical(path, name, everywhere=True)
        unit = self.unit(path)
        bounds = unit.top.bindings.get(name, ()) if unit is not None else ()
        return any(bound.kind not in {"function", "import"} for bound in bounds)

    def _uses_source(self, path: str, name: str) -> bool:
        unit = self.unit(path)
        if unit is None:
            return False
        for bound in unit.top.bindings.get(name, ()):
            if bound.kind == "import":
                if unit.scopes.is_source(bound.qualified):
                    return True
            elif unit.uses_source(unit.top_statement(bound.statement)):
                return True
        return False

    def _read_by(self, path: str, name: str) -> Iterator[Key]:
        """Yield the names that the definition of a name reads, in its file and in others."""
        unit = self.unit(path)
        handed_on = self._handed_on(path, name)
        if handed_on is not None and handed_on.path and handed_on.attribute:
            yield handed_on.path, handed_on.attribute
        for statement in unit.binding_statements(name) if unit is not None else ():
            if isinstance(statement, Import):
                continue
            assert unit is not None
            for each in unit.references(statement, self.root):
                if each.imported is not None:
                    if each.imported.path and each.imported.attribute:
                        yield each.imported.path, each.imported.attribute
                elif each.scope is unit.top:
                    yield path, each.node.id

    def _reads(self, path: str, joined: set[str]) -> bool:
        """Say whether a module imports one of *joined*, itself or through others."""
        seen: set[str] = set()
        left = [path]
        while left:
            current = left.pop()
            unit = self.unit(current)
            if current in seen or unit is None:
                continue
            seen.add(current)
            for statement in imports_in(unit.tree):
                for alias in statement.names:
                    if alias.name != "*":
                        found = self.imported(unit, alias, statement).path
                        left += [found] if found is not None else []
        return bool(seen & joined)


class _Walk:
    """Takes statements, and follows each name in them once."""

    def __init__(self, needs: Needs, joined: set[str], asked: set[Key]) -> None:
        self.needs = needs
        self.joined = joined
        self.asked = asked
        self.seen: set[Key] = set()

    def follow(self, unit: Unit, statement: ast.stmt) -> None:
        """Follow the names that a statement reads."""
        for node in imports_in(statement):
            self._open(unit, node)
        for each in unit.references(statement, self.needs.root):
            if each.imported is not None:
                self._imported(unit, each, each.imported)
            elif each.scope is unit.top and unit is not self.needs.script:
                self.take(unit, each.node.id, each.node)
            elif each.scope is not None:
                self._check_one_meaning(unit, each)
            elif unit is not self.needs.script:
                self._check_free(unit, each.node)

    def _check_free(self, unit: Unit, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            # A field of a class that has an annotation and no value.
            return
        if node.id == "__file__" and not self._is_beside(unit):
            raise Refusal(unit, node, "`__file__` is in another folder in the result")
        if node.id != "__file__" and node.id not in _BUILTINS:
            raise Refusal(unit, node, f"what binds `{node.id}` cannot be seen")

    def _is_beside(self, unit: Unit) -> bool:
        folders = {
            os.path.dirname(os.path.abspath(each)) for each in (unit.path, self.needs.script.path)
        }
        return len(folders) == 1

    def _open(self, unit: Unit, statement: ast.Import | ast.ImportFrom) -> None:
        """Look at the modules of an import, whether or not something is read from them."""
        for alias in statement.names:
            if alias.name == "*":
                self._starred(unit, statement, alias)
                continue
            found = self.needs.imported(unit, alias, statement)
            if found.path is None:
                continue
            if found.attribute is not None:
                self.asked.add((found.path, found.attribute))
            if found.path in self.joined:
                self._enter(found.path, unit, alias)

    def _starred(
        self, unit: Unit, statement: ast.Import | ast.ImportFrom, alias: ast.alias
    ) -> None:
        assert isinstance(statement, ast.ImportFrom)
        path = unit.find("." * statement.level + (statement.module or ""), self.needs.root)
        other = self.needs.unit(path) if path is not None else None
        if path is None or other is None:
            return
        names = [name for name in other.top.bindings if not name.startswith("_")]
        self.asked.update((path, name) for name in names)
        if path in self.joined:
            raise Refusal(unit, alias, "a star import does not say what is needed of the module")

    def _imported(self, unit: Unit, each: Reference, found: Imported) -> None:
        if (
            unit is not self.needs.script
            and each.scope is unit.top
            and found.path not in self.joined
        ):
            self._take_alias(unit, each)
        if found.path is None or (found.attribute is None and found.path not in self.joined):
            return
        if found.attribute is None:
            raise Refusal(
                unit, each.node, f"`{each.node.id}` is a module that is used as a value here"
            )
        self.asked.add((found.path, found.attribute))
        if found.path in self.joined:
            other = self._enter(found.path, unit, each.node)
            self.take(other, found.attribute, each.node, unit)

    def _take_alias(self, unit: Unit, each: Reference) -> None:
        for bound in each.bounds:
            assert isinstance(bound.statement, ast.Import | ast.ImportFrom)
            top = unit.top_statement(bound.statement)
            if top is not bound.statement:
                self._take_statement(unit, top)
                continue
            self.needs.aliases.setdefault(unit.path, set()).update(
                Alias(bound.statement, alias)
                for alias in bound.statement.names
                if (alias.asname or alias.name.partition(".")[0]) == each.node.id
            )

    def _check_one_meaning(self, unit: Unit, each: Reference) -> None:
        for bound in each.bounds:
            if bound.kind != "import" or len(each.bounds) == 1:
                continue
            found = unit.imported(bound, each.node.id, None, self.needs.root)
            if found.path in self.joined:
                raise Refusal(unit, each.node, f"`{each.node.id}` is bound to several things")

    def _enter(self, path: str, importer: Unit, node: ast.expr | ast.alias) -> Unit:
        """Return a module that comes, with what importing it does taken."""
        unit = self.needs.unit(path)
        if unit is None:
            what = "cannot be read as Python, or is one of too many files"
            raise Refusal(importer, node, f"{os.path.basename(path)} {what}")
        if len(self.needs.joined) >= MOST_COMING and path not in self.needs.joined:
            raise Refusal(importer, node, f"more than {MOST_COMING} files would come")
        if path not in self.needs.taken:
            self._check_packages(path)
            self.needs.taken[path] = set()
            for statement in unit.tree.body:
                if has_effect(unit, statement):
                    self._take_statement(unit, statement)
            self.needs.joined.append(path)
        return unit

    def _check_packages(self, path: str) -> None:
        """Importing a module runs the packages around it, which do not come."""
        folder = os.path.dirname(path)
        while os.path.isfile(init := os.path.join(folder, "__init__.py")):
            package = self.needs.unit(init)
            is_checked = init == path or init in self.joined
            if package is not None and not is_checked:
                for statement in package.tree.body:
                    if has_effect(package, statement):
                        raise Refusal(package, statement, "importing this package runs this")
            folder = os.path.dirname(folder)

    def take(self, unit: Unit, name: str, node: ast.expr, reader: Unit | None = None) -> None:
        """Take what binds a name at the top of a module."""
        if (unit.path, name) in self.seen:
            return
        self.seen.add((unit.path, name))
        bounds = unit.top.bindings.get(name, [])
        if not bounds:
            where = os.path.basename(unit.path)
            raise Refusal(reader or unit, node, f"{where} does not bind `{name}` by itself")
        for bound in bounds:
            if bound.kind == "import":
                imported = unit.imported(bound, name, None, self.needs.root)
                place = ast.copy_location(ast.Name(name), bound.statement)
                self._imported(unit, Reference(place, unit.top, (bound,), imported), imported)
            else:
                self._take_statement(unit, unit.top_statement(bound.statement))

    def _take_statement(self, unit: Unit, statement: ast.stmt) -> None:
        taken = self.needs.taken.setdefault(unit.path, set())
        if statement not in taken:
            taken.add(statement)
            self.follow(unit, statement)

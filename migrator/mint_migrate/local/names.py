"""What everything is called when a script and modules of its project are one module."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from mint_migrate.analyse.scopes import Bound, ScopeInfo
from mint_migrate.local.needs import Alias, Key, Needs, Refusal
from mint_migrate.local.units import Imported, Reference, Unit


class Names:
    """One name for each thing that comes, that means nothing else where it is read."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.own: dict[Key, str] = {}
        """What a module's own name is called."""
        self.outside: dict[tuple[str, str], str] = {}
        """The same for what its imports bind, by (file, name); the script's own are not listed."""
        self._meaning: dict[str, object] = {}
        """What is called so at the top of the result."""
        self._words = {word for unit in needs.units.values() for word in unit.words}
        self._builtins: set[str] = set()
        """Names that are read and that nothing in their file binds."""
        self._readers: dict[object, list[tuple[Unit, Reference]]] = {}
        """Who reads what a name is to mean."""
        for unit, each in self._all_references():
            self._readers.setdefault(self._means(unit, each), []).append((unit, each))
            if each.scope is None:
                self._builtins.add(each.node.id)
        self._choose()

    def of(self, unit: Unit, each: Reference) -> str | None:
        """Return what a reference becomes; None where it stays."""
        found = each.imported
        is_ours = found is not None and found.path in self.needs.joined
        if is_ours and found is not None and found.path and found.attribute:
            return self.called(found.path, found.attribute)
        if unit is self.needs.script or each.scope is not unit.top:
            return None
        return self.own.get((unit.path, each.node.id)) or self.outside.get(
            (unit.path, each.node.id)
        )

    def called(self, path: str, name: str) -> str:
        """Return what a name of a module is called."""
        key = self.needs.canonical(path, name)
        return self.own.get(key) or self.outside.get(key) or key[1]

    def _choose(self) -> None:
        script = self.needs.script
        for name, bounds in script.top.bindings.items():
            found = [
                script.imported(bound, name, None, self.needs.root)
                for bound in bounds
                if bound.kind == "import"
            ]
            if not any(each.path in self.needs.joined for each in found):
                self._meaning[name] = self._outside_meaning(script, name)
        wishes = self._wishes()
        for path in self.needs.ordered():
            unit = self.needs.units[path]
            for alias in sorted(self.needs.aliases.get(path, ()), key=_place):
                self._call_outside(unit, alias)
            for name in self._bound_by(unit):
                key = (path, name)
                self.own[key] = self._free(unit, wishes.get(key, name), key)

    def _bound_by(self, unit: Unit) -> list[str]:
        taken = self.needs.taken[unit.path]
        return [
            name
            for name, bounds in unit.top.bindings.items()
            if not name.startswith("self.")
            and any(unit.top_statement(bound.statement) in taken for bound in bounds)
        ]

    def _wishes(self) -> dict[Key, str]:
        """Return what the script calls the names that it imports."""
        script = self.needs.script
        wishes: dict[Key, str] = {}
        for name, bounds in script.top.bindings.items():
            for bound in bounds if len(bounds) == 1 else ():
                if bound.kind == "import":
                    found = script.imported(bound, name, None, self.needs.root)
                    if found.path in self.needs.joined and found.attribute is not None:
                        assert found.path is not None
                        wishes[self.needs.canonical(found.path, found.attribute)] = name
        return wishes

    def _outside_meaning(self, unit: Unit, name: str) -> object:
        """Return something that is equal for two imports of the same thing."""
        bounds = unit.top.bindings[name]
        if len(bounds) == 1 and bounds[0].kind == "import":
            found = unit.imported(bounds[0], name, None, self.needs.root)
            return ("import", found.path or found.qualified, found.attribute)
        return (unit.path, name)

    def _call_outside(self, unit: Unit, alias: Alias) -> None:
        name = alias.bound
        meaning = self._outside_meaning(unit, name)
        self.outside[unit.path, name] = self._free(unit, name, meaning)

    def _free(self, unit: Unit, wish: str, meaning: object) -> str:
        """Return *wish* or a name like it that nothing else has."""
        stem = re.sub(r"\W", "_", os.path.splitext(os.path.basename(unit.path))[0])
        for candidate in (wish, f"{stem}_{wish}", *(f"{wish}_{number}" for number in range(2, 99))):
            is_known = candidate in self._meaning
            if is_known and self._meaning[candidate] != meaning:
                continue
            if candidate == wish or candidate not in self._words:
                if self._is_hidden(candidate, meaning):
                    continue
                self._meaning[candidate] = meaning
                return candidate
        raise Refusal(unit, unit.tree.body[0], f"no name is free for `{wish}`")

    def _is_hidden(self, candidate: str, meaning: object) -> bool:
        """Say whether something that reads the name would read another thing, or the reverse."""
        # A builtin of this name elsewhere would become what is called so now.
        if candidate in self._builtins:
            return True
        for unit, each in self._readers.get(meaning, ()):
            found = unit.scopes.lookup(candidate, unit.scopes.scope_of[each.node])
            if found is not None and not self._leads_to(unit, candidate, found, meaning):
                return True
        return False

    def _leads_to(
        self, unit: Unit, name: str, found: tuple[ScopeInfo, list[Bound]], meaning: object
    ) -> bool:
        """Say whether what a unit binds a name to is what the name is to mean."""
        scope, bounds = found
        if all(bound.kind == "import" for bound in bounds):
            return all(
                self._imported_meaning(unit.imported(bound, name, None, self.needs.root)) == meaning
                for bound in bounds
            )
        return scope is unit.top and (unit.path, name) == meaning

    def _means(self, unit: Unit, each: Reference) -> object:
        if each.imported is not None:
            return self._imported_meaning(each.imported)
        if unit is not self.needs.script and each.scope is unit.top:
            return (unit.path, each.node.id)
        return None

    def _imported_meaning(self, found: Imported) -> object:
        path, attribute = found.path, found.attribute
        if path is not None and path in self.needs.joined and attribute is not None:
            key = self.needs.canonical(path, attribute)
            unit = self.needs.units[key[0]]
            bounds = unit.top.bindings.get(key[1], ())
            if len(bounds) == 1 and bounds[0].kind == "import":
                return self._outside_meaning(unit, key[1])
            return key
        return ("import", path or found.qualified, attribute)

    def _all_references(self) -> Iterator[tuple[Unit, Reference]]:
        for statement in self.needs.script.tree.body:
            for each in self.needs.script.references(statement, self.needs.root):
                yield self.needs.script, each
        for path in self.needs.joined:
            unit = self.needs.units[path]
            for statement in self.needs.taken[path]:
                for each in unit.references(statement, self.needs.root):
                    yield unit, each


def _place(alias: Alias) -> tuple[int, int]:
    return alias.statement.lineno, alias.alias.col_offset

"""What a script imports from the files of its own project.

    for imported in imported_definitions(tree, path, project):
        imported.bound                   # "make_config": how the script calls it
        imported.definition.qualified    # "trl.SFTConfig": what calling it gives
        imported.definition.call         # that call, with every argument and its source text

`imported_definition("lib.configs.make_config", ...)` answers for a single name, as
`ModuleScopes.qualified` spells it. A name that is bound twice, computed, or found outside the
project is answered with None: nothing is guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from mint_migrate.analyse.scopes import ModuleScopes
from mint_migrate.analyse.text import SourceText
from mint_migrate.analyse.walk import walk
from mint_migrate.local.definitions import Project
from mint_migrate.local.resolve import find_module
from mint_migrate.model.local import Definition, Imported
from mint_migrate.project import find_root, is_marked


def project_of(path: str, base: Path | None = None) -> Project:
    """Return the project around a file; the same one for every file under the same root.

    Without a mark of a project above the file, its root is *base*, the folder given to the run.
    """
    root = find_root(Path(path))
    if base is not None and not is_marked(root):
        root = find_root(base)
    return _project(str(root))


@lru_cache(maxsize=8)
def _project(root: str) -> Project:
    return Project(root)


def imported_definition(qualified: str, *, importer: str, project: Project) -> Definition | None:
    """Return the definition behind an imported name, or None.

    Args:
        qualified: as imported and with what is read from it, `lib.configs.make_config`, a relative
            import with its dots in front, `.configs.make_config`.
        importer: path of the importing script.
        project: where local modules are looked up.
    """
    dots = qualified[: len(qualified) - len(qualified.lstrip("."))]
    parts = qualified[len(dots) :].split(".")
    for length in range(len(parts) - 1, -1 if dots else 0, -1):
        path = find_module(dots + ".".join(parts[:length]), importer=importer, root=project.root)
        if path is not None:
            # What is read from the object itself, `configs.BASE.seed`, is not another definition.
            return project.definition(path, parts[length])
    return None


def imported_definitions(
    text: str, tree: ast.Module, *, path: str, project: Project
) -> tuple[Imported, ...]:
    """Return every definition of the project that the script at *path* imports, by position.

    Names of `from module import name` are listed where they are imported, and `module.name` where
    it is read. Definitions without a source framework behind them are listed, too.
    """
    statements = [node for node in walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    local = [node for node in statements if _is_local(node, path, project)]
    if not local:
        return ()
    finder = _Finder(SourceText(text), ModuleScopes(tree), path, project)
    found = [each for node in local for each in finder.names(node)]
    found += finder.attributes(tree)
    return tuple(sorted(found, key=lambda each: (each.span, each.bound)))


def imports_locally(tree: ast.Module, path: str, project: Project) -> bool:
    """Say whether a script imports a file of its project."""
    return any(
        _is_local(node, path, project)
        for node in walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


def _is_local(node: ast.Import | ast.ImportFrom, path: str, project: Project) -> bool:
    if isinstance(node, ast.ImportFrom):
        modules = ["." * node.level + (node.module or "")]
    else:
        modules = [alias.name for alias in node.names]
    return any(
        find_module(module, importer=path, root=project.root) is not None
        # `from . import configs` and `import lib.configs` also work in folders without `__init__`.
        or (isinstance(node, ast.ImportFrom) and _has_submodule(node, module, path, project))
        for module in modules
    )


def _has_submodule(node: ast.ImportFrom, module: str, path: str, project: Project) -> bool:
    dot = "" if module.endswith(".") or not module else "."
    return any(
        find_module(f"{module}{dot}{alias.name}", importer=path, root=project.root) is not None
        for alias in node.names
    )


class _Finder:
    """Looks up the names of one script."""

    def __init__(
        self, source: SourceText, scopes: ModuleScopes, path: str, project: Project
    ) -> None:
        self.source = source
        self.scopes = scopes
        self.path = path
        self.project = project

    def names(self, node: ast.Import | ast.ImportFrom) -> Iterator[Imported]:
        """Yield the definitions that a `from` import binds."""
        if not isinstance(node, ast.ImportFrom):
            return
        module = "." * node.level + (node.module or "")
        dot = "" if module.endswith(".") else "."
        for alias in node.names:
            listed = [alias.name] if alias.name != "*" else self._starred(module)
            for name in listed:
                bound = alias.asname or name
                yield from self._found(bound, f"{module}{dot}{name}", alias, node)

    def attributes(self, tree: ast.Module) -> Iterator[Imported]:
        """Yield the definitions that are read from a module that was imported."""
        for node in walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            qualified = self.scopes.qualified(node)
            if qualified is not None and not self.scopes.is_source(qualified):
                inner = self.scopes.qualified(node.value)
                if inner is not None and self._is_definition(inner):
                    continue
                statement = self.scopes.statement_of[node]
                yield from self._found(ast.unparse(node), qualified, node, statement)

    def _is_definition(self, qualified: str) -> bool:
        """Say whether a name is not a module: what is read from it is no definition of its own."""
        return find_module(qualified, importer=self.path, root=self.project.root) is None and (
            imported_definition(qualified, importer=self.path, project=self.project) is not None
        )

    def _starred(self, module: str) -> tuple[str, ...]:
        path = find_module(module, importer=self.path, root=self.project.root)
        return () if path is None else self.project.names(path)

    def _found(
        self, bound: str, qualified: str, node: ast.alias | ast.expr, statement: ast.stmt
    ) -> Iterator[Imported]:
        definition = imported_definition(qualified, importer=self.path, project=self.project)
        if definition is not None:
            yield Imported(
                bound=bound,
                qualified=qualified,
                span=self.source.span(node),
                statement=self.source.span(statement),
                scope=self.scopes.scope_of[statement].number,
                definition=definition,
            )

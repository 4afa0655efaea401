"""What the modules of a package import, read from their syntax trees; nothing is imported."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {"mint_migrate": ROOT / "migrator", "mint_runtime": ROOT / "runtime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, with the place that imports it."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def modules(package: str) -> dict[str, Path]:
    """Return the modules of *package* by dotted name."""
    source = SOURCES[package]
    found = {}
    for path in sorted((source / package).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


@functools.cache
def imports(package: str) -> tuple[Import, ...]:
    """Return every import in *package*, those inside functions included.

    `from package import module` counts as an import of `package.module`.
    """
    known = modules(package)
    found = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found += [
                Import(importer=name, imported=imported, line=node.lineno)
                for imported in _imported(node, known)
            ]
    return tuple(found)


def _imported(node: ast.AST, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        assert node.module is not None
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in known else node.module for name in names]
    return []

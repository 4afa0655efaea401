"""Reads the interface of classes out of parsed modules: bases, fields, arguments, methods.

Nothing is imported or run. A class of an upstream package may be defined several times: releases in
which a class moves keep a wrapper of the same name at the old place, derived from `_<name>`. The
definition that is not such a wrapper counts, the one outside `experimental` before others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any

_API_NAME = re.compile(r"^[A-Z]\w*(Trainer|Config|Callback|Arguments|Parser)$")
_SHARED_BASE = re.compile(r"^_?Base[A-Z]")
"""Bases whose members are recorded with each class derived from them, as its own."""
_EXAMPLES = "trl/commands/scripts/"
"""Example scripts, some of which older releases start as commands; each has classes of its own."""
_OUTER_BASES = {
    "TrainingArguments": "transformers.TrainingArguments",
    "Trainer": "transformers.Trainer",
    "Seq2SeqTrainer": "transformers.Trainer",
}


class Classes:
    """The classes of a package that are defined at the top of its modules."""

    def __init__(self, package: str, trees: dict[str, ast.Module]) -> None:
        """Take the parsed modules by path, such as `trl/trainer/sft_config.py`."""
        self._package = package
        self._found: dict[str, list[tuple[str, ast.ClassDef]]] = {}
        self._examples: dict[str, ast.ClassDef] = {}
        for path, tree in trees.items():
            for node in _top_classes(tree.body):
                if path.startswith(_EXAMPLES):
                    self._examples[_qualified(path, node)] = node
                else:
                    self._found.setdefault(node.name, []).append((path, node))

    def recorded(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the records of those classes, by qualified name, that are defined here."""
        return {f"{self._package}.{name}": self._record(name) for name in names if self._has(name)}

    def public(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the records of the exported classes and of all that are named like an interface.

        A class of an example script, and a second class of one name under `scripts/`, is recorded
        under its module's path.
        """
        wanted = {name for name in names if name in self._found}
        wanted |= {name for name in self._found if _API_NAME.match(name)}
        found = self.recorded(sorted(name for name in wanted if not _SHARED_BASE.match(name)))
        by_path = {
            _qualified(path, node): node
            for name in wanted
            for path, node in self._real(name)[1:]
            if path.startswith(f"{self._package}/scripts/")
        }
        for name, node in (self._examples | by_path).items():
            if _API_NAME.match(node.name):
                found[name] = self._record_lineage(node.name, [node])
        return found

    def _has(self, name: str) -> bool:
        return name in self._found

    def _real(self, name: str) -> list[tuple[str, ast.ClassDef]]:
        """Return the definitions of *name* that are no wrappers of it, the stable one first."""
        found = self._found[name]
        real = [item for item in found if f"_{name}" not in _base_names(item[1])] or found
        return sorted(real, key=lambda item: ("/experimental/" in item[0], item[0]))

    def _record(self, name: str) -> dict[str, Any]:
        return self._record_lineage(name, self._lineage(name))

    def _record_lineage(self, name: str, lineage: list[ast.ClassDef]) -> dict[str, Any]:
        """Return the record of a class that consists of *lineage*, nearest first."""
        record: dict[str, Any] = {}
        bases = [base for node in lineage for base in self._public_bases(node)]
        if bases:
            record["bases"] = list(dict.fromkeys(bases))
        init = next((item for node in lineage if (item := _init_of(node)) is not None), None)
        fields: dict[str, str | None] = {}
        for node in reversed(lineage):
            if _is_dataclass(node):
                fields.update(_fields(node))
        if init is not None:
            record["init"] = _arguments(init)
            if init.args.kwarg is not None:
                record["forwards"] = True
        elif fields:
            record["fields"] = fields
        if name.endswith("Trainer"):
            record["methods"] = sorted({method for node in lineage for method in _methods(node)})
        return record

    def _lineage(self, name: str) -> list[ast.ClassDef]:
        """Return the class and those bases that are recorded as a part of it, nearest first."""
        lineage: list[ast.ClassDef] = []
        queue = [name]
        while queue:
            each = queue.pop(0)
            if not self._has(each):
                continue
            node = self._real(each)[0][1]
            if node not in lineage:
                lineage.append(node)
                queue += [base for base in _base_names(node) if self._is_part(base)]
        return lineage

    def _is_part(self, base: str) -> bool:
        return self._package != "trl" or _SHARED_BASE.match(base) is not None

    def _public_bases(self, node: ast.ClassDef) -> list[str]:
        bases = []
        for base in _base_names(node):
            if base in _OUTER_BASES and not self._has(base):
                bases.append(_OUTER_BASES[base])
            elif self._has(base) and not self._is_part(base) and not base.startswith("_"):
                bases.append(f"{self._package}.{base}")
        return bases


def _qualified(path: str, node: ast.ClassDef) -> str:
    return f"{path.removesuffix('.py').replace('/', '.')}.{node.name}"


def _top_classes(body: list[ast.stmt]) -> Iterator[ast.ClassDef]:
    """Yield the classes of a module, those behind a condition included."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _top_classes(node.body + node.orelse)


def _base_names(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).split("[")[0].split(".")[-1] for base in node.bases]


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def _init_of(node: ast.ClassDef) -> ast.FunctionDef | None:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return item
    return None


def _methods(node: ast.ClassDef) -> Iterator[str]:
    for item in node.body:
        match item:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not name.startswith("_"):
                    yield name


def _fields(node: ast.ClassDef) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            annotation = ast.unparse(item.annotation)
            if not item.target.id.startswith("_") and "ClassVar" not in annotation:
                found[item.target.id] = _default(item.value)
    return found


def _default(value: ast.expr | None) -> str | None:
    """Return the default as source text; a factory as `factory: ...`; None where required."""
    if value is None:
        return None
    if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] == "field":
        for keyword in value.keywords:
            if keyword.arg == "default":
                return ast.unparse(keyword.value)
            if keyword.arg == "default_factory":
                return f"factory: {ast.unparse(keyword.value)}"
        return None
    return ast.unparse(value)


def _arguments(function: ast.FunctionDef) -> dict[str, str | None]:
    spec = function.args
    positional = spec.posonlyargs + spec.args
    padding: list[ast.expr | None] = [None] * (len(positional) - len(spec.defaults))
    found = {
        argument.arg: ast.unparse(default) if default is not None else None
        for argument, default in zip(positional, padding + list(spec.defaults), strict=True)
    }
    for argument, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True):
        found[argument.arg] = ast.unparse(default) if default is not None else None
    found.pop("self", None)
    return found

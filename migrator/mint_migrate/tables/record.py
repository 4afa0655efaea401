"""Record the public surface of an upstream release from its wheel.

`python -m mint_migrate.tables.record WHEEL...` parses the wheel's source with `ast` (nothing is
imported or run) and writes `mappings/_upstream/<package>/<version>.json`: names and defaults, no
text. The contract tests hold the tables against these records.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mint_migrate.resources import checkout_dir
from mint_migrate.tables.outputs import write_atomic

CLASSES = {
    "trl": ("SFTConfig", "SFTTrainer"),
    "transformers": ("TrainingArguments",),
    "peft": ("LoraConfig",),
}
"""Classes recorded with their fields and arguments; of all others only the name is kept."""

_NAMED_LIKE_API = re.compile(r"^[A-Z]\w*(Trainer|Config|Callback|Arguments)$")
_TOOLS = ("trl/commands/", "trl/cli/", "trl/skills/", "trl/scripts/", "trl/extras/_")
"""Folders behind TRL's command line, which scripts do not import from."""
_WHEEL_NAME = re.compile(r"^(?P<package>[A-Za-z0-9_]+)-(?P<version>[^-]+)-")


def record_wheel(path: Path) -> dict[str, Any]:
    """Return the record of one wheel.

    Raises:
        ValueError: the file name is not a wheel's, or the package is not one that is recorded.
    """
    match = _WHEEL_NAME.match(path.name)
    if match is None or match["package"] not in CLASSES:
        raise ValueError(f"{path.name}: expected a wheel of one of {', '.join(CLASSES)}")
    package, version = match["package"], match["version"]
    with zipfile.ZipFile(path) as wheel:
        trees = dict(_parse_modules(wheel, package))
        metadata = _requirements(wheel)
    record: dict[str, Any] = {
        "package": package,
        "version": version,
        "requires": metadata,
        "classes": {f"{package}.{name}": _class_record(name, trees) for name in CLASSES[package]},
    }
    if package == "trl":
        record["names"] = sorted(_public_names(trees))
    return record


def _parse_modules(wheel: zipfile.ZipFile, package: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield (path, tree) of the modules that can define a recorded class or export a name."""
    wanted = tuple(f"class {name}".encode() for name in CLASSES[package])
    bases = (b"class PeftConfig", b"class BaseConfig", b"class _BaseConfig", b"class BaseTrainer")
    for name in sorted(wheel.namelist()):
        if not name.startswith(f"{package}/") or not name.endswith(".py"):
            continue
        text = wheel.read(name)
        if package == "trl" or any(mark in text for mark in wanted + bases):
            yield name, ast.parse(text, name)


def _requirements(wheel: zipfile.ZipFile) -> dict[str, str]:
    """Return the lowest release of transformers and peft that the wheel asks for."""
    (name,) = [entry for entry in wheel.namelist() if entry.endswith(".dist-info/METADATA")]
    found: dict[str, str] = {}
    for line in wheel.read(name).decode().splitlines():
        match = re.match(r"Requires-Dist: (transformers|peft)\b[^;]*>=\s*([0-9.]+)", line)
        if match and "extra ==" not in line:
            found[match[1]] = match[2]
    return found


def _classes(trees: dict[str, ast.Module]) -> dict[str, ast.ClassDef]:
    found: dict[str, ast.ClassDef] = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, node)
    return found


def _class_record(name: str, trees: dict[str, ast.Module]) -> dict[str, Any]:
    """Return fields with defaults, or constructor arguments and methods, own bases included."""
    classes = _classes(trees)
    if name not in classes:
        return {}
    record: dict[str, Any] = {}
    fields: dict[str, str | None] = {}
    methods: set[str] = set()
    for node in reversed(_lineage(name, classes)):
        fields.update(_fields(node))
        methods |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                record["init"] = _arguments(item)
    if fields and "init" not in record:
        record["fields"] = fields
    record["methods"] = sorted(method for method in methods if not method.startswith("_"))
    return record


def _lineage(name: str, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return the class and those of its bases that the package itself defines, nearest first."""
    lineage: list[ast.ClassDef] = []
    queue = [name]
    while queue:
        node = classes.get(queue.pop(0))
        if node is None or node in lineage:
            continue
        lineage.append(node)
        queue += [ast.unparse(base).split(".")[-1] for base in node.bases]
    return lineage


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


def _public_names(trees: dict[str, ast.Module]) -> set[str]:
    """Return what the package files export, and every class that is named like an interface."""
    names: set[str] = set()
    for path, tree in trees.items():
        if path.startswith(_TOOLS):
            continue
        if path.endswith("/__init__.py"):
            names |= _exports(tree)
        names |= {
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef) and _NAMED_LIKE_API.match(node.name)
        }
    return {name for name in names if not name.startswith("_")}


def _exports(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith(
            ("_import_structure", "__all__")
        ):
            names |= set(_listed_strings(node.value))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_import_structure"):
            names |= {text for argument in node.args for text in _listed_strings(argument)}
    return {name for name in names if name.isidentifier()}


def _listed_strings(node: ast.expr) -> Iterator[str]:
    """Yield the strings of a list or of a dictionary's values; its keys are module names."""
    values = node.values if isinstance(node, ast.Dict) else [node]
    for value in values:
        for item in ast.walk(value):
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                yield item.value


def main(arguments: list[str]) -> int:
    """Record the wheels named on the command line and return the exit status."""
    for argument in arguments:
        record = record_wheel(Path(argument))
        folder = checkout_dir("mappings") / "_upstream" / record["package"]
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1, sort_keys=True) + "\n"
        write_atomic(folder / f"{record['version']}.json", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

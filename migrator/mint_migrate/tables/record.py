"""Record the public surface of an upstream release from its wheel.

`python -m mint_migrate.tables.record WHEEL...` parses the wheel's source with `ast` (nothing is
imported or run) and writes `mappings/_upstream/<package>/<version>.json`: names and defaults, no
text. The contract tests hold the tables against these records.

A record of TRL holds every public class, of the stable and of the experimental packages, and the
classes behind the command line. `fields` are those the class itself declares (with those of a base
like `_BaseConfig`), `init` are the constructor's arguments, `forwards` says that it hands unknown
keywords to its base, and `bases` names the public classes that the rest comes from.

A record of verl holds, in the place of classes, the configurations of its entry points; one of
OpenRLHF the options of its programs. See `tables.record_verl` and `tables.record_openrlhf`.
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
from mint_migrate.tables.classes import Classes
from mint_migrate.tables.outputs import write_atomic
from mint_migrate.tables.record_openrlhf import record_programs
from mint_migrate.tables.record_verl import record_configs

CLASSES = {
    "transformers": ("TrainingArguments",),
    "peft": ("LoraConfig",),
}
"""Classes recorded of the packages that are recorded in part; of TRL every public one is."""

_READERS = {"openrlhf": record_programs, "verl": record_configs}
"""What records the packages whose options are recorded by entry point."""
_NAMED_LIKE_API = re.compile(r"^[A-Z]\w*(Trainer|Config|Callback|Arguments)$")
_TOOLS = ("trl/commands/", "trl/cli/", "trl/skills/", "trl/scripts/", "trl/extras/_")
"""Folders behind TRL's command line, which scripts do not import from."""
_WHEEL_NAME = re.compile(r"^(?P<package>[A-Za-z0-9_]+)-(?P<version>[^-]+)-")


def record_wheel(path: Path) -> dict[str, Any]:
    """Return the record of one wheel.

    Raises:
        ValueError: the file name is not a wheel's, or the package is not one that is recorded.
    """
    known = ("trl", *CLASSES, *_READERS)
    match = _WHEEL_NAME.match(path.name)
    if match is None or match["package"] not in known:
        raise ValueError(f"{path.name}: expected a wheel of one of {', '.join(known)}")
    package, version = match["package"], match["version"]
    with zipfile.ZipFile(path) as wheel:
        if package in _READERS:
            return _record(package, version, _READERS[package](wheel))
        trees = dict(_parse_modules(wheel, package))
        metadata = _requirements(wheel)
    classes = Classes(package, trees)
    if package != "trl":
        return _record(package, version, classes.recorded(CLASSES[package]), metadata)
    names = sorted(_public_names(trees))
    return _record(package, version, classes.public(names), metadata) | {"names": names}


def _record(
    package: str, version: str, classes: dict[str, Any], requires: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "package": package,
        "version": version,
        "requires": requires or {},
        "classes": classes,
    }


def _parse_modules(wheel: zipfile.ZipFile, package: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield (path, tree) of the modules that can define a recorded class or export a name."""
    wanted = tuple(f"class {name}".encode() for name in CLASSES.get(package, ()))
    bases = (b"class PeftConfig",)
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


def dump_record(record: dict[str, Any]) -> str:
    """Return the record as JSON with a line for each class, so that a difference can be read."""
    parts = {
        "package": json.dumps(record["package"]),
        "version": json.dumps(record["version"]),
        "requires": json.dumps(record["requires"], sort_keys=True),
        "classes": _lines(record["classes"]),
    }
    if "names" in record:
        parts["names"] = json.dumps(record["names"], separators=(",", ":"))
    return "{" + ",\n".join(f'"{key}": {text}' for key, text in parts.items()) + "}\n"


def _lines(classes: dict[str, Any]) -> str:
    lines = [
        f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True, separators=(',', ':'))}"
        for name, entry in sorted(classes.items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}"


def main(arguments: list[str]) -> int:
    """Record the wheels named on the command line and return the exit status."""
    for argument in arguments:
        record = record_wheel(Path(argument))
        folder = checkout_dir("mappings") / "_upstream" / record["package"]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{record['version']}.json", dump_record(record))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

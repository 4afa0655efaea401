"""Composes configurations of Hydra from the YAML files of a wheel: defaults, packages, groups.

Enough of hydra 1.3 for verl's trainers: `name`, `group: name`, `group@package: name`, `../group`,
`_self_` (at the end where it is not written), `# @package _global_`, `override group: name`, and
`${group}` for a choice made further up.
Interpolations in values stay as they are written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

Files = Callable[[str], str]
"""Text of a file by its path below the configuration folder, without `.yaml`; raises KeyError."""


class OmegaLoader(yaml.SafeLoader):
    """Reads numbers as OmegaConf does: `1e-6` is a number."""


OmegaLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
OmegaLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)?\.?\d+([eE][-+]?\d+)?$|[-+]?\.(inf|nan)$", re.IGNORECASE),
    list("-+0123456789."),
)


def compose(name: str, files: Files, choices: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the configuration *name* with everything that its defaults lists bring in.

    Args:
        name: of the file, without `.yaml`.
        files: reads the files.
        choices: of groups, in the place of those that the defaults lists make.

    Raises:
        KeyError: a file that a defaults list names is not there.
    """
    return _compose(name, files, dict(choices or {}))


def leaves(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of what is no mapping, or an empty one; keys joined by points."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _compose(name: str, files: Files, choices: dict[str, str]) -> dict[str, Any]:
    body = yaml.load(files(name), Loader=OmegaLoader) or {}
    entries = body.pop("defaults", ["_self_"])
    if "_self_" not in entries:
        entries = [*entries, "_self_"]
    overrides = [entry for entry in entries if _is_override(entry)]
    for ((group, option),) in (entry.items() for entry in overrides):
        choices.setdefault(group.removeprefix("override "), option)
    result: dict[str, Any] = {}
    for entry in entries:
        if entry in overrides:
            continue
        if entry == "_self_":
            _merge(result, body)
            continue
        path, package = _target(entry, posixpath.dirname(name), choices)
        if path:
            is_global = files(path).startswith("# @package _global_")
            config = _compose(path, files, choices)
            _merge(result, config if is_global else _packed(package, config))
    return result


def _is_override(entry: Any) -> bool:
    return isinstance(entry, dict) and next(iter(entry)).startswith("override ")


def _target(entry: Any, folder: str, choices: dict[str, str]) -> tuple[str, str]:
    """Return the file that an entry of a defaults list names, and the package it goes to."""
    if isinstance(entry, str):
        plain, _, package = entry.partition("@")
        return posixpath.normpath(posixpath.join(folder, plain)), package
    ((group, option),) = entry.items()
    if option is None:
        return "", ""
    group, at, package = group.partition("@")
    for known, choice in choices.items():
        option = option.replace(f"${{{known}}}", choice)
    option = choices.setdefault(group, option)
    absolute = group.startswith("/")
    place = group.lstrip("/") if absolute else posixpath.normpath(posixpath.join(folder, group))
    return f"{place}/{option}", package if at else group.strip("/").replace("/", ".")


def _packed(package: str, config: dict[str, Any]) -> dict[str, Any]:
    for part in reversed(package.split(".") if package else []):
        config = {part: config}
    return config


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value

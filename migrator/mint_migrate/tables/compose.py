"""Composes configurations of Hydra from the YAML files of a wheel, which are all there.

Interpolations in values stay as they are written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from mint_migrate.tables.defaults_list import header_package, included

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
    result: dict[str, Any] = {}
    for entry in included(body.pop("defaults", []), posixpath.dirname(name), choices):
        if not entry.name:
            _merge(result, body)
            continue
        is_global = header_package(files(entry.name)) == "_global_"
        config = _compose(entry.name, files, choices)
        _merge(result, config if is_global else _packed(entry.package, config))
    return result


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

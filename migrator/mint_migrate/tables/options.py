"""Options that are recorded by entry point: keys of verl's configurations, flags of OpenRLHF.

Their rows stand in an index of their own, `index_<package>.json`. A row states what becomes of an
option; in which releases the option is, and with which default, comes from the records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mint_migrate.resources import data_dir
from mint_migrate.tables.rows import Row
from mint_migrate.tables.surface import Surface
from mint_migrate.tables.versions import version_key

Reader = Callable[[str], dict[str, Any]]
"""Returns the index of a package."""


def read_part(package: str) -> dict[str, Any]:
    """Return the parsed index of a package.

    Raises:
        FileNotFoundError: there is none; a checkout makes it with `tables.compile`.
    """
    path = data_dir("mappings") / f"index_{package}.json"
    part: dict[str, Any] = json.loads(path.read_bytes())
    return part


def owner_of(package: str, entry: str) -> str:
    """Return the prefix of the rows of an entry point's options.

    Args:
        package: verl | openrlhf.
        entry: the command's module, or its last part: `main_ppo`, `train_ppo_ray`.
    """
    name = entry.rpartition(".")[2]
    if package != "verl":
        return f"{package}.{name}"
    if "sft" in name:
        return "verl.sft_config"
    return "verl.generation_config" if "gen" in name or "eval" in name else "verl.config"


class Options:
    """What the records know of the options of all entry points that have been asked for."""

    def __init__(self, surface: Surface) -> None:
        """Take what knows which release has what."""
        self._surface = surface
        self._defaults: dict[str, dict[str, list[list[str]]]] = {}
        self._variants: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
        self._inherits: dict[str, str] = {}
        self._renames: dict[str, dict[str, list[str]]] = {}
        self._earlier: dict[str, dict[str, str]] = {}

    def add(self, package: str, part: dict[str, Any]) -> None:
        """Add the records of a package."""
        self._surface.add(part)
        self._defaults |= part["defaults"]
        self._variants |= part["variants"]
        self._inherits |= part["inherits"]
        self._renames |= part["renames"]
        for owner, names in part["renames"].items():
            self._earlier[owner] = {new: old for old, news in names.items() for new in news}

    def split(self, name: str) -> tuple[str, str] | None:
        """Return owner and option of a qualified name; None where the owner is not recorded."""
        package, _, rest = name.partition(".")
        entry, _, option = rest.partition(".")
        owner = f"{package}.{entry}"
        return (owner, option) if option and owner in self._defaults else None

    def renamed(self, owner: str) -> dict[str, str]:
        """Return by option the name that it got later; of several, the first."""
        return {old: new[0] for old, new in self._renames.get(owner, {}).items()}

    def other_names(self, name: str) -> Iterator[str]:
        """Yield where else the rows of a recorded option can stand, nearest first.

        That is its earlier name, and then both under each owner that its own one inherits from.
        """
        parts = self.split(name)
        if parts is None or parts[1] not in self._defaults[parts[0]]:
            return
        owner: str | None = parts[0]
        names = [parts[1], self._earlier.get(parts[0], {}).get(parts[1], parts[1])]
        while owner is not None:
            yield from (f"{owner}.{each}" for each in names)
            owner = self._inherits.get(owner)

    def is_recorded(self, name: str, version: str | None = None) -> bool:
        """Say whether a release, left out: any, has the option."""
        parts = self.split(name)
        if parts is None:
            return False
        owner, option = parts
        if version is None:
            return option in self._defaults[owner]
        return option in self._surface.names(owner, version)

    @property
    def owners(self) -> tuple[str, ...]:
        """Return the prefixes of the rows of all entry points that have been read."""
        return tuple(self._defaults)

    def named(self, text: str) -> list[str]:
        """Return the qualified names of the recorded options whose whole name is *text*."""
        flag = text.replace("-", "_")
        table = self._defaults.items()
        return [f"{owner}.{key}" for owner, keys in table for key in {text, flag} & set(keys)]

    def ending(self, text: str) -> list[str]:
        """Return the qualified names of the recorded options whose last parts are *text*."""
        table = self._defaults.items()
        return [
            f"{owner}.{key}" for owner, keys in table for key in keys if key.endswith(f".{text}")
        ]

    def names(self) -> Iterator[str]:
        """Yield the qualified names of all recorded options."""
        for owner, keys in self._defaults.items():
            for key in keys:
                yield f"{owner}.{key}"

    def fitted(self, row: Row, name: str) -> Row:
        """Return a row with the releases and the defaults that the records give *name*.

        The row may be that of a family, or of the option's earlier name. Defaults of its own hold
        for releases before the first one that lists the option: their code reads it already.
        """
        parts = self.split(name)
        changes = self._defaults[parts[0]].get(parts[1]) if parts else None
        if parts is None or changes is None:
            return row
        first, until = self._surface.span(*parts)
        listed = tuple((release, text) for release, text in changes)
        read = tuple(item for item in row.defaults if first is not None and _is_before(item, first))
        since = read[0][0] if read else first
        return replace(
            row,
            since=max(filter(None, (row.since, since)), key=version_key, default=None),
            until=min(filter(None, (row.until, until)), key=version_key, default=None),
            defaults=read + listed,
        )

    def lacks(self, row: Row, name: str, version: str) -> bool:
        """Say whether *version* lacks a recorded option that *row*, fitted to it, is of."""
        parts = self.split(name)
        if parts is None or parts[1] not in self._defaults[parts[0]]:
            return False
        first, _ = self._surface.span(*parts)
        is_read = first is not None and _is_before((version, ""), first)
        return not is_read and not self.is_recorded(name, version)

    def variant(self, name: str, label: str, version: str) -> str | None:
        """Return the default of an option in another file of its entry point.

        Args:
            name: qualified.
            label: the file, such as `ppo_megatron_trainer`.
            version: release.
        """
        parts = self.split(name)
        if parts is None:
            return None
        nearest = self._surface.nearest(parts[0].partition(".")[0], version)
        texts = self._variants.get(parts[0], {}).get(label, {}).get(nearest, {})
        return texts.get(parts[1])


def _is_before(item: tuple[str, str], release: str) -> bool:
    return version_key(item[0]) < version_key(release)

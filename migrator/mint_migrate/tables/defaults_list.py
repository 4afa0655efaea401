"""Reads the defaults lists of Hydra's configurations: which files they bring in, and where to.

Of hydra 1.3: `name`, `group: name`, `group: [name, name]`, `group@package: name`, `../group`,
`/group`, `_self_` (at the end where it is not written), `optional group: name`,
`override group: name`, `# @package`, and `${group}` for a choice made further up.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_SELF = "_self_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """One entry of a defaults list."""

    name: str
    """Of the file, below the folder of configurations; empty for the keys of the file itself."""
    package: str = ""
    """Where its keys go, from where those of the file go; `_global_` for the top."""


def header_package(text: str) -> str | None:
    """Return the package that a file says its keys go to, None where it says none."""
    match = _PACKAGE.search(text)
    return None if match is None else match[1]


def included(entries: Sequence[Any], folder: str, choices: dict[str, str]) -> Iterator[Included]:
    """Yield what a defaults list brings in, later ones counting.

    Args:
        entries: the list.
        folder: of the file that it stands in, below that of all configurations.
        choices: of groups, made further up; those that are made here are added.
    """
    listed = list(entries) if _SELF in entries else [*entries, _SELF]
    for entry in filter(_is_override, listed):
        ((group, option),) = entry.items()
        choices.setdefault(group.removeprefix("override "), option)
    for entry in listed:
        if entry == _SELF:
            yield Included(name="")
        elif isinstance(entry, str):
            plain, _, package = entry.partition("@")
            name = _place(plain, folder)
            yield Included(name=name, package=package or posixpath.dirname(plain).strip("/."))
        elif isinstance(entry, dict) and len(entry) == 1 and not _is_override(entry):
            yield from _of_group(entry, folder, choices)


def below(package: str, inner: str) -> str:
    """Return where keys go that go to *inner* from *package*, parts joined by points."""
    if inner == "_global_":
        return ""
    if inner == "_here_":
        return package
    return f"{package}.{inner}" if package and inner else inner or package


def _is_override(entry: Any) -> bool:
    return isinstance(entry, dict) and str(next(iter(entry), "")).startswith("override ")


def _of_group(entry: dict[str, Any], folder: str, choices: dict[str, str]) -> Iterator[Included]:
    ((group, option),) = entry.items()
    if option is None:
        return
    group, at, package = str(group).removeprefix("optional ").partition("@")
    package = package if at else group.strip("/").replace("../", "").replace("/", ".")
    if isinstance(option, list):
        names = list(map(str, option))
    else:
        text = str(option)
        for known, choice in choices.items():
            text = text.replace(f"${{{known}}}", choice)
        names = [choices.setdefault(group, text)]
    for name in names:
        yield Included(name=_place(f"{group}/{name}", folder), package=package)


def _place(name: str, folder: str) -> str:
    if name.startswith("/"):
        return name.lstrip("/")
    return posixpath.normpath(posixpath.join(folder, name))

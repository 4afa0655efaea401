"""References inside the values of a Hydra configuration: `${a.b}`, `${oc.select:a.b,default}`.

Source: omegaconf 2.3, `grammar_parser.py` and `resolvers/oc`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mint_migrate.launches.hydra import read_value

_REFERENCE = re.compile(r"\$\{(?:(?P<resolver>[\w.]+):)?(?P<inner>[^${}]*)\}")

Lookup = Callable[[str], Any]
"""Returns the value of another option; None where there is none."""


def resolve(text: str, lookup: Lookup) -> Any:
    """Return the value of *text* with its references replaced.

    A reference that cannot be followed stays as it is written: one to the environment or to a
    resolver of the user's, and a relative one.
    """
    whole = _REFERENCE.fullmatch(text)
    if whole is not None:
        return _value(whole, lookup)
    return _REFERENCE.sub(lambda match: str(_value(match, lookup)), text)


def references(text: str) -> list[str]:
    """Return the options that a value refers to."""
    found: list[str] = []
    resolve(text, found.append)
    return found


def has_reference(text: object) -> bool:
    """Say whether a value refers to others."""
    return isinstance(text, str) and _REFERENCE.search(text) is not None


def _value(match: re.Match[str], lookup: Lookup) -> Any:
    resolver, inner = match["resolver"], match["inner"].strip()
    if resolver is None and re.fullmatch(r"[A-Za-z_][\w.]*", inner):
        return lookup(inner)
    if resolver == "oc.select":
        key, comma, default = inner.partition(",")
        found = lookup(key.strip())
        return read_value(default) if found is None and comma else found
    return match[0]

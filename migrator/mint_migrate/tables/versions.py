"""Order of release numbers, without a packaging library."""

from __future__ import annotations

import re
from functools import cache

_SUFFIX = re.compile(r"[.\-_]?(dev|a|alpha|b|beta|rc|c|pre|post)[.\-_]?(\d*)")
_BEFORE = {"dev": 0, "a": 1, "alpha": 1, "b": 2, "beta": 2, "c": 3, "pre": 3, "rc": 3}
"""Kinds of pre-releases, in their order."""
_LAST = 10**9
"""Larger than any part of a release number."""


@cache
def version_key(version: str) -> tuple[int, ...]:
    """Return a sort key: `0.16` equals `0.16.0`, `0.8.0.dev0` is before it, `0.3.0.post1` after.

    A local part such as `+cu118` does not count.

    Raises:
        ValueError: the text does not start with a number.
    """
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    if match is None:
        raise ValueError(f"`{version}` is not a release number such as `0.19.1`")
    parts = [int(piece) for piece in match[1].split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    suffix = _SUFFIX.match(version, match.end())
    if suffix is None or not parts:
        return tuple(parts)
    number = int(suffix[2] or 0)
    if suffix[1] == "post":
        return (*parts, 0, number)
    return (*parts[:-1], parts[-1] - 1, _LAST, _BEFORE[suffix[1]], number)

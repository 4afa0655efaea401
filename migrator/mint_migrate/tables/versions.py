"""Order of release numbers, without a packaging library."""

from __future__ import annotations

from functools import cache


@cache
def version_key(version: str) -> tuple[int, ...]:
    """Return a sort key: `0.16` equals `0.16.0`; pre-release suffixes are ignored.

    Raises:
        ValueError: the text does not start with a number.
    """
    parts: list[int] = []
    for piece in version.split("."):
        digits = ""
        for character in piece:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        parts.append(int(digits))
    if not parts:
        raise ValueError(f"`{version}` is not a release number such as `0.19.1`")
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)

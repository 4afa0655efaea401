"""Prints what Hydra itself reads from values of overrides; runs where Hydra is installed."""

from __future__ import annotations

import json
import sys

# Hydra is installed in an environment of its own, so no checker of ours finds it.
from hydra.core.override_parser.overrides_parser import (  # type: ignore[import-not-found]
    OverridesParser,
)
from hydra.core.override_parser.types import QuotedString  # type: ignore[import-not-found]
from hydra.errors import HydraException  # type: ignore[import-not-found]


def plain(value: object) -> object:
    """Return a value without Hydra's own types; their names where they are sweeps or functions."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return {"type": type(value).__name__}


def read(parser: OverridesParser, text: str) -> str | None:
    """Return the value as Python writes it, None where Hydra refuses the override."""
    try:
        return repr(plain(parser.parse_override(f"key={text}").value()))
    except HydraException:
        return None


if __name__ == "__main__":
    parser = OverridesParser.create()
    sys.stdout.write(json.dumps([read(parser, text) for text in json.load(sys.stdin)]))

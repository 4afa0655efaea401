"""Writes the generated files of the tables, at build time, or says which are out of date."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomic(path: Path, text: str) -> None:
    """Write *text* to *path*: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def stale(outputs: dict[Path, str]) -> list[Path]:
    """Return the paths whose file is missing or differs from the text it should have."""
    return [
        path
        for path, text in sorted(outputs.items())
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]

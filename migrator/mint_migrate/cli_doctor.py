"""The `doctor` command: what is installed, and which command lacks what.

Packages are looked up by their metadata and never imported: a broken installation of one must not
break this command, and torch alone would take seconds.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
from dataclasses import dataclass

from mint_migrate import __version__, console


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One package that some command needs."""

    distribution: str
    module: str
    needed_for: str
    extra: str
    """Of `mint-migrate[...]`; empty: a plain dependency."""


PARTS = (
    Part(distribution="libcst", module="libcst", needed_for="migrate", extra=""),
    Part(distribution="jinja2", module="jinja2", needed_for="migrate", extra=""),
    Part(distribution="mint-migrate", module="mint_runtime", needed_for="run", extra="runtime"),
    Part(distribution="mindlab-toolkit", module="mint", needed_for="run", extra="runtime"),
    Part(distribution="tinker", module="tinker", needed_for="run", extra="runtime"),
    Part(distribution="torch", module="torch", needed_for="run", extra="runtime"),
    Part(distribution="transformers", module="transformers", needed_for="run", extra="runtime"),
    Part(distribution="peft", module="peft", needed_for="run", extra="runtime"),
    Part(distribution="trl", module="trl", needed_for="verify", extra="verify"),
    Part(distribution="datasets", module="datasets", needed_for="verify", extra="verify"),
)


def doctor(*, format_: str = "text") -> int:
    """Print versions on stdout; return 1 when a command lacks something."""
    console.check_format(format_)
    versions = {part.module: _version(part) for part in PARTS}
    if format_ == "json":
        record = {
            "mint-migrate": __version__,
            "python": platform.python_version(),
            "packages": versions,
        }
        console.out(json.dumps(record, indent=2) + "\n")
    else:
        console.out(f"mint-migrate {__version__}, Python {platform.python_version()}\n")
        for part in PARTS:
            shown = versions[part.module] or "missing"
            console.out(f"  {part.module:13} {shown:12} for {part.needed_for}\n")
    missing = [part for part in PARTS if versions[part.module] is None]
    for extra in dict.fromkeys(part.extra for part in missing):
        wanted = f"mint-migrate[{extra}]" if extra else "--force-reinstall mint-migrate"
        console.err(f"hint: {sys.executable} -m pip install '{wanted}'")
    return int(bool(missing))


def _version(part: Part) -> str | None:
    """Return the release of *part*, None when its module cannot be found."""
    try:
        if importlib.util.find_spec(part.module) is None:
            return None
        return importlib.metadata.version(part.distribution)
    except (ImportError, ValueError):
        return None

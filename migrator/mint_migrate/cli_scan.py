"""The `scan` command: an inventory, without converting anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mint_migrate import __version__, console
from mint_migrate.scan.render import as_csv, as_json, as_table, summary
from mint_migrate.scan.search import search
from mint_migrate.tables.lookup import load_tables


def scan(paths: Sequence[Path], *, format_: str = "table") -> int:
    """Print every use of a source framework under *paths*; return 2 where a file cannot be read."""
    inventory = search(paths, load_tables())
    if format_ == "table":
        console.out(as_table(inventory))
    else:
        tool = f"mint-migrate {__version__}"
        console.out(as_csv(inventory) if format_ == "csv" else as_json(inventory, tool=tool))
        console.err(summary(inventory))
    for failed in (*inventory.failures, *(file.failure for file in inventory.files)):
        if failed is not None:
            console.err_failed(failed)
    return 0 if inventory.is_complete else 2

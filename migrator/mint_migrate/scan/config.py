"""Uses in YAML files: configurations of TRL's command line and of accelerate.

Only the keys at the left margin are read, line by line: that is where both keep theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from mint_migrate.model.plan import Found, Kind
from mint_migrate.model.source import Span
from mint_migrate.scan.outlook import outlook, row_of_field
from mint_migrate.scan.records import Use
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

_KEY = re.compile(r"^(?P<key>[A-Za-z_]\w*)[ \t]*:(?=[ \t\n]|$)", re.MULTILINE)
ACCELERATE = frozenset({"compute_environment", "distributed_type"})
"""Keys that every configuration of accelerate has, and no other file."""
TELLING = frozenset(
    {"model_name_or_path", "per_device_train_batch_size", "gradient_accumulation_steps"}
    | {"num_train_epochs", "lr_scheduler_type", "gradient_checkpointing", "use_peft"}
)
"""Keys of a training configuration; two of them make one."""


def config_uses(text: str, tables: Tables) -> list[Use]:
    """Return the uses in a YAML file, by position; none where it configures something else."""
    keys = list(_keys(text))
    names = {found.name for found in keys}
    if names & ACCELERATE:
        return [
            _use(found, "accelerate.config", tables.row(f"accelerate.config.{found.name}"))
            for found in keys
        ]
    if len(names & TELLING) < 2:
        return []
    return [_use(found, "trl.config", row_of_field(tables, found.name)) for found in keys]


def _use(found: Found, owner: str, row: Row | None) -> Use:
    name = row.id if row is not None else f"{owner}.{found.name}"
    return outlook(replace(found, name=name), row)


def _keys(text: str) -> Iterator[Found]:
    for match in _KEY.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        end = text.find("\n", match.start())
        shown = text[match.start() : end if end >= 0 else len(text)]
        span = Span(line=line, column=1, end_line=line, end_column=len(match["key"]) + 1)
        yield Found(kind=Kind.CONFIG_KEY, name=match["key"], span=span, source_text=shown)

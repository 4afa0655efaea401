"""What the tables say will become of a use. A rule may decide better for a value or a context."""

from __future__ import annotations

from mint_migrate.model.plan import Found, Kind
from mint_migrate.scan.records import UNKNOWN, Use
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

TRAINERS = ("SFT", "DPO", "GRPO", "KTO", "Reward", "RLOO", "ORPO", "CPO")
CONFIGS = (
    "transformers.TrainingArguments",
    "trl.ModelConfig",
    "trl.ScriptArguments",
    *(f"trl.{name}Config" for name in TRAINERS),
)
"""Classes whose fields are keys of a configuration file and flags of TRL's command line."""


def outlook(found: Found, row: Row | None, cell: int | None = None) -> Use:
    """Return *found* as a use with what *row* says; None: the tables do not hold it."""
    return Use(
        line=found.span.line,
        column=found.span.column,
        kind=found.kind.value,
        name=found.name,
        source_text=" ".join(found.source_text.split())[:200],
        becomes=row.fidelity.value if row is not None else UNKNOWN,
        row=row.id if row is not None else None,
        code=row.code if row is not None else None,
        target=row.to if row is not None else "",
        cell=cell,
    )


def row_of_argument(tables: Tables, owner: str, found: Found) -> Row | None:
    """Return the row of an argument of a call of *owner*; a positional one has that of the call."""
    name = found.name.removeprefix(f"{owner}.")
    if found.kind is Kind.ARGUMENT and found.name.startswith(f"{owner}["):
        return tables.row(owner)
    return tables.config_row(tables.canonical(owner), name)


def row_of_method(tables: Tables, owner: str, chain: str) -> Row | None:
    """Return the row of an attribute chain on an object that a call of *owner* made.

    Of a chain without a row, such as `state.log_history`, its longest beginning with one counts.
    """
    canonical = tables.canonical(owner)
    while chain:
        row = tables.attribute_row(canonical, chain)
        if row is not None:
            return row
        chain = chain.rpartition(".")[0]
    return None


def row_of_field(tables: Tables, name: str, first: str | None = None) -> Row | None:
    """Return the row of a key of a configuration file, or of a flag, in the first class with it.

    *first* is the class to ask before the others, such as `trl.GRPOConfig`.
    """
    owners = (first, *CONFIGS) if first is not None else CONFIGS
    rows = (tables.config_row(owner, name) for owner in owners if _is_class(tables, owner))
    return next((row for row in rows if row is not None and not row.id.endswith("*")), None)


def _is_class(tables: Tables, owner: str) -> bool:
    return owner in tables or owner.startswith("transformers.")

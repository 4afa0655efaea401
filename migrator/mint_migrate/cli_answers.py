"""The commands that answer from the tables: `ask`, `explain` and `mappings`.

Answers go to stdout whether the tables had one or not: "not found, but near" is an answer, told
apart by the exit status.
"""

from __future__ import annotations

from mint_migrate import console
from mint_migrate.assistant import commands
from mint_migrate.assistant.records import Answer, Listing, Source
from mint_migrate.tables.lookup import load_tables


def ask(question: str, *, format_: str = "text") -> int:
    """Answer *question*; return 1 when the tables have no answer."""
    return _show(*commands.ask(question, load_tables()), format_=format_)


def explain(code: str, *, format_: str = "text") -> int:
    """Show the page of a reason code; return 1 when there is none."""
    return _show(*commands.explain(code, load_tables()), format_=format_)


def mappings(
    symbol: str | None, *, format_: str = "text", source_version: str | None = None
) -> int:
    """Show the rows of *symbol*, or the list of the tables; return 1 when no row has it.

    Args:
        symbol: a class, a field, an option such as `trl dpo --beta`, a key of verl, a flag of
            OpenRLHF, or a bare name.
        format_: `text` or `json`.
        source_version: release as `verl==VERSION`, or of TRL as `VERSION`; None: all of them.

    Raises:
        UsageError: the release or the format is not one.
    """
    source = None
    if source_version is not None:
        from mint_migrate.cli_migrate import parse_source_version

        package, version = parse_source_version(source_version)
        source = Source(package=package, version=version)
    return _show(*commands.mappings(symbol, load_tables(), source), format_=format_)


def _show(record: Answer | Listing, status: int, *, format_: str) -> int:
    console.check_format(format_)
    if format_ == "json":
        from mint_migrate.assistant.as_json import as_json

        console.out(as_json(record))
    else:
        from mint_migrate.assistant.render import show

        show(console.out_console(), record)
    return status

"""Migrate a script with what it needs of its project's other files, which make one module with it.

The result stands alone: functions and values that use a source framework are in it, and the files
that they come from stay as they are. A decision names the file and the line that it is about.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace

from mint_migrate.local.join import Joined, Refused
from mint_migrate.model.outcome import Migrated, Outcome
from mint_migrate.model.plan import Decision
from mint_migrate.model.source import Options, Source, Span
from mint_migrate.pipeline import Origin, migrate_source
from mint_migrate.tables.lookup import Tables

_LINE = re.compile(r"\bline (\d+)\b")


def migrate_joined(source: Source, joined: Joined, options: Options, tables: Tables) -> Outcome:
    """Migrate a script that has been joined. Nothing is read, written or executed."""
    module = Source(
        path=source.path,
        content=joined.text.encode(),
        text=joined.text,
        newline=source.newline,
        has_bom=source.has_bom,
    )

    def named(match: re.Match[str]) -> str:
        path, line = joined.line(int(match[1]))
        shown = "" if path == source.path else f"{_shown(path, source.path)}, "
        return f"{shown}line {line}"

    origin = Origin(reword=lambda sentence: _LINE.sub(named, sentence))
    outcome = migrate_source(module, options, tables, origin)
    if not isinstance(outcome, Migrated):
        return outcome
    decisions = tuple(_placed(each, joined, source.path) for each in outcome.decisions)
    notices = outcome.notices
    if outcome.text is not None:
        notices += tuple(
            f"the result has its own {', '.join(f'`{name}`' for name in names)}, "
            f"from {_shown(path, source.path)}; that file stays as it is"
            for path, names in joined.names.items()
        )
    return replace(outcome, source=source, decisions=decisions, notices=notices)


def refusal_notice(refused: Refused, script: str) -> str:
    """Return the sentence on a module that a script cannot be converted with."""
    return (
        f"{_shown(refused.path, script)}, line {refused.line}: {refused.reason}, so that what the "
        "script imports was not followed"
    )


def _placed(decision: Decision, joined: Joined, script: str) -> Decision:
    span = decision.found.span
    path, line, column = joined.place(span.line, span.column)
    end_path, end_line, end_column = joined.place(span.end_line, max(span.end_column - 1, 1))
    if end_path != path or (end_line, end_column) < (line, column):
        end_line, end_column = line, column
    placed = Span(line=line, column=column, end_line=end_line, end_column=end_column + 1)
    where = "" if path == script else os.path.relpath(path)
    found = replace(decision.found, span=placed, path=decision.found.path or where)
    return replace(decision, found=found)


def _shown(path: str, script: str) -> str:
    """Return the name of a file as seen from the script's folder."""
    return os.path.relpath(path, os.path.dirname(os.path.abspath(script))).replace(os.sep, "/")

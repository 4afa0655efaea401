"""Where the commands write: results to stdout, everything else to stderr.

Rich is imported only by the commands that draw tables or diffs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mint_migrate.errors import MigrateError, UsageError
from mint_migrate.model.outcome import Failed

if TYPE_CHECKING:
    from rich.console import Console

WORTH_A_BAR = 5
"""Files: fewer are done before a bar could be read."""


def out_bytes(content: bytes) -> None:
    """Write *content* to stdout as it is."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def out(text: str) -> None:
    """Write *text* to stdout as UTF-8; it brings its own newlines."""
    out_bytes(text.encode())


def err(text: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(f"{text}\n")


def out_diff(diff: str) -> None:
    """Write *diff* to stdout, colored where stdout is a terminal that shows colors."""
    if not _is_colored(sys.stdout.isatty()):
        out(diff)
        return
    from rich.console import Console

    from mint_migrate.report.diff import colored

    Console(highlight=False).print(colored(diff), end="", soft_wrap=True)


def out_console() -> Console:
    """Return a console on stdout, for tables."""
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def err_console() -> Console:
    """Return a console on stderr; it respects `NO_COLOR`, `COLUMNS` and pipes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def shows_progress(num_steps: int) -> bool:
    """Say whether a progress bar is worth showing: stderr is a terminal, and there is a wait."""
    return num_steps >= WORTH_A_BAR and sys.stderr.isatty()


@contextmanager
def progress(what: str, num_steps: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr, and yield what moves it by one step; it leaves no trace."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err_console(), transient=True) as bar:
        task = bar.add_task(what, total=num_steps)
        yield lambda: bar.advance(task)


def err_failed(failed: Failed) -> None:
    """Tell on stderr why a file was not migrated: place, sentence, the line itself, the way out."""
    span = failed.span
    place = failed.path if span is None else f"{failed.path}:{span.start}"
    err(f"{place}: {failed.code} {failed.reason}")
    if span is not None and not span.cell:
        for line in _frame(failed.path, span.line, span.column):
            err(line)
    if failed.hint:
        err(f"hint: {failed.hint}")


def err_error(error: MigrateError) -> None:
    """Tell on stderr what *error* says."""
    err(str(error) if error.path else f"mint-migrate: {error}")
    if error.hint:
        err(f"hint: {error.hint}")


def check_format(format_: str) -> None:
    """Refuse a value of `--format` that is not known.

    Raises:
        UsageError: it is neither `text` nor `json`.
    """
    if format_ not in ("text", "json"):
        raise UsageError(f"`--format {format_}` is not known; there are `text` and `json`")


def _is_colored(is_terminal: bool) -> bool:
    import os

    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _frame(path: str, line: int, column: int) -> list[str]:
    """Return the line of *path* with a caret under *column*; nothing where it cannot be read."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    if not 1 <= line <= len(lines) or "\x00" in lines[line - 1]:
        return []
    # Tabs before the caret are kept, so that it stands where the editor shows the column.
    before = "".join("\t" if char == "\t" else " " for char in lines[line - 1][: column - 1])
    return [f"{line:5} | {lines[line - 1]}", f"      | {before}^"]

"""Errors of the migrator's shell.

    MigrateError
    |-- UsageError      ValueError: the command line asks for something impossible; exit status 2
    |-- WriteError      OSError: a file could not be written
    `-- JournalError    RuntimeError: an undo that would lose work, or has nothing to undo

The stages between reading and writing do not raise for what a user's file contains: they return
`Failed` and `Skipped` (`model/outcome.py`). All errors pickle, because files may be migrated in
worker processes.
"""

from __future__ import annotations


class MigrateError(Exception):
    """Root of this package's errors.

    Args:
        message: the sentence a user reads, without a full stop.
        code: `MMnnn`, or empty where no page explains it.
        path: the file concerned, or empty.
        hint: the way out, or empty.
    """

    def __init__(self, message: str, code: str = "", path: str = "", hint: str = "") -> None:
        super().__init__(message, code, path, hint)
        self.message = message
        self.code = code
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        """Return `path: MMnnn message`, leaving out what is empty."""
        place = f"{self.path}: " if self.path else ""
        code = f"{self.code} " if self.code else ""
        return f"{place}{code}{self.message}"


class UsageError(MigrateError, ValueError):
    """Options or arguments that cannot be served together, or a value that is not accepted."""


class WriteError(MigrateError, OSError):
    """The disk, the permissions or the path refuse the output."""

    # OSError defines its own __new__ and __str__, which give two arguments a meaning of their own.
    __str__ = MigrateError.__str__


class JournalError(MigrateError, RuntimeError):
    """The journal has no such run, or undoing it would overwrite later edits."""

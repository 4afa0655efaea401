"""One line per operation on standard error, for people or for programs.

Loggers under `mint_runtime` may attach a mapping called `facts` to a record; both formats write its
entries. Other libraries' warnings come through as plain messages.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO


class LogFormat(StrEnum):
    """How lines look."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`12:00:01 forward_backward id=.

    Datums=8 tokens=512 loss=1.25 seconds=0.05`, in local time.
    """

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        words = [f"{clock} {level}{record.getMessage()}"]
        words += [
            f"{name}={_short(value)}" for name, value in _facts(record).items() if name != "op"
        ]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def configure(format_: LogFormat, stream: TextIO | None = None) -> None:
    """Send this package's lines, and warnings of others, to `stream`, else to standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("mint_runtime").setLevel(logging.INFO)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts = getattr(record, "facts", None)
    return dict(facts) if isinstance(facts, dict) else {}


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

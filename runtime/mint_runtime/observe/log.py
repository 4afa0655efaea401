"""One line per operation on standard error, for people or for programs.

Loggers under `mint_runtime` may attach a mapping called `facts` to a record; both formats write its
entries. Other libraries' warnings come through as plain messages.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from enum import StrEnum
from math import isfinite
from typing import Any, TextIO

_SESSION_LENGTH = 13
"""`sess-` and eight digits tell sessions apart on a screen."""
_UNSAFE = re.compile(r'[\s"=]|[^\x20-\x7e\u00a0-\uffff]|^$')
"""Characters that need quotes; those that could fake a second line are among them."""


class LogFormat(StrEnum):
    """How lines look."""

    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """Time, message and facts in one line, in local time.

    For example `12:00:01 forward_backward model=train:0 session=sess-3fa9 datums=8 loss=1.25`. Long
    random ids are cut, numbers rounded, and values with blanks quoted as logfmt has it.
    """

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        words = [f"{clock} {level}{record.getMessage()}"]
        words += [
            f"{name}={_short(name, value)}"
            for name, value in _facts(record).items()
            if name != "op" and value is not None
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
            **{name: _plain(value) for name, value in _facts(record).items()},
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


def _plain(value: object) -> object:
    """Return what JSON has a word for; it has none for a loss that is not a number."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _short(name: str, value: object) -> str:
    """Return a value as one word: the model without its session, which has a word of its own."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if name == "model":
        text = ":".join(text.split(":")[-2:])
    elif name == "session":
        text = text[:_SESSION_LENGTH]
    return json.dumps(text) if _UNSAFE.search(text) else text

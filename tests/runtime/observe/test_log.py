"""The lines of the log, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from mint_runtime.observe.log import LogFormat, configure

FACTS = {"op": "forward_backward", "id": "s:train:0", "datums": 8, "loss": 1.23456789}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(format_: LogFormat, write: object) -> str:
    """Return what `write` makes a configured logger say."""
    stream = io.StringIO()
    configure(format_, stream)
    write(logging.getLogger("mint_runtime.steps"))  # type: ignore[operator]
    return stream.getvalue()


def test_a_step_is_one_readable_line() -> None:
    line = logged(LogFormat.TEXT, lambda log: log.info("forward_backward", extra={"facts": FACTS}))
    assert line.endswith(" forward_backward id=s:train:0 datums=8 loss=1.23457\n")


def test_a_step_is_one_json_object_with_unrounded_numbers() -> None:
    line = logged(LogFormat.JSON, lambda log: log.info("forward_backward", extra={"facts": FACTS}))
    entry = json.loads(line)
    assert {name: entry[name] for name in FACTS} == FACTS
    assert (entry["level"], entry["message"]) == ("info", "forward_backward")


@pytest.mark.parametrize("format_", list(LogFormat))
def test_an_error_brings_its_traceback(format_: LogFormat) -> None:
    def write(log: logging.Logger) -> None:
        try:
            raise KeyError("lost")
        except KeyError:
            log.exception("request r-1 failed")

    text = logged(format_, write)
    assert "request r-1 failed" in text
    assert "KeyError" in text


def test_chatter_of_other_libraries_is_left_out_and_their_warnings_are_not() -> None:
    def write(_: logging.Logger) -> None:
        logging.getLogger("another.library").info("chatter")
        logging.getLogger("another.library").warning("careful")

    text = logged(LogFormat.TEXT, write)
    assert "chatter" not in text
    assert text.endswith("warning: careful\n")

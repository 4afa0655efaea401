"""The lines of the log, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from mint_runtime.observe.log import LogFormat, configure

FACTS = {
    "op": "forward_backward",
    "model": "sess-0123456789abcdef:train:0",
    "session": "sess-0123456789abcdef",
    "datums": 8,
    "loss": 1.23456789,
    "wait": None,
}


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
    words = "model=train:0 session=sess-01234567 datums=8 loss=1.23457"
    assert line.endswith(f" forward_backward {words}\n")


def test_a_step_is_one_json_object_with_unrounded_numbers() -> None:
    line = logged(LogFormat.JSON, lambda log: log.info("forward_backward", extra={"facts": FACTS}))
    entry = json.loads(line)
    assert {name: entry[name] for name in FACTS} == FACTS
    assert (entry["level"], entry["message"]) == ("info", "forward_backward")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("two words", '"two words"'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("", '""'),
        ("one\n12:00:00 forged", '"one\\n12:00:00 forged"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("naïve", "naïve"),
    ],
)
def test_a_value_that_is_no_word_is_quoted_and_stays_on_its_line(value: str, word: str) -> None:
    line = logged(LogFormat.TEXT, lambda log: log.info("save", extra={"facts": {"path": value}}))
    assert line.endswith(f" save path={word}\n")


def test_a_loss_that_is_no_number_is_still_json() -> None:
    facts = {"loss": float("nan")}
    line = logged(LogFormat.JSON, lambda log: log.info("forward", extra={"facts": facts}))
    assert json.loads(line, parse_constant=pytest.fail)["loss"] == "nan"


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

"""Streams over a real socket: when their pieces come, and what happens when nobody reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.fake_engine import BASE, FakeEngine
from support.http_service import served

FIELDS = {"model": BASE, "prompt": "Hi", "stream": True}


@pytest.fixture
def running(tmp_path: Path, tiny_directory: Path) -> Iterator[tuple[httpx.Client, FakeEngine]]:
    """Yield a client and the engine; the engine draws 20 tokens of one letter each."""
    engine = FakeEngine(str(tiny_directory))
    with served(tmp_path / "state", engine) as pair:
        yield pair


def letters(tokenizer: Any, text: str) -> list[int]:
    """Return one token per letter, which is not how the tokenizer itself would write them."""
    return [tokenizer.encode(letter)[0] for letter in text]


def texts(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))["choices"][0]["text"]


def test_a_piece_comes_before_the_next_token_is_drawn(running: Any, tokenizer: Any) -> None:
    http, engine = running
    engine.tokens = letters(tokenizer, "abc")
    engine.stop_reason = "length"
    engine.one_by_one = True
    with http.stream("POST", "/v1/completions", json=FIELDS) as answer:
        found = texts(answer.iter_lines())
        # The status of the answer comes with the first token, so that one is let through.
        seen = [(next(found), engine.num_told)]
        for _ in range(2):
            engine.token_gate.set()
            seen.append((next(found), engine.num_told))
    assert seen == [("a", 1), ("b", 2), ("c", 3)]


def test_a_client_that_hangs_up_disturbs_nobody(running: Any, tokenizer: Any) -> None:
    http, engine = running
    engine.tokens = letters(tokenizer, "abc" * 10)
    engine.one_by_one = True
    with http.stream("POST", "/v1/completions", json=FIELDS) as answer:
        next(texts(answer.iter_lines()))
    engine.one_by_one = False
    engine.token_gate.set()
    whole = http.post("/v1/completions", json={**FIELDS, "stream": False, "max_tokens": 3})
    assert whole.json()["choices"][0]["text"] == "abc"


def test_a_failure_in_the_middle_is_said_in_the_stream(running: Any, tokenizer: Any) -> None:
    http, engine = running
    engine.tokens = letters(tokenizer, "abc")
    engine.fails_after_tokens = True
    lines = http.post("/v1/completions", json=FIELDS).text.split("\n\n")
    *_, last = [line for line in lines if line]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "device is gone" not in last


def test_streams_of_several_answers_follow_one_another(running: Any, tokenizer: Any) -> None:
    http, engine = running
    engine.tokens = letters(tokenizer, "abcdefgh")
    engine.stop_reason = "length"
    answers = [http.stream("POST", "/v1/completions", json={**FIELDS, "n": 4}) for _ in range(3)]
    for answer in answers:
        with answer as body:
            total = "".join(texts(body.iter_lines()))
            assert sorted(total) == sorted("abcdefgh" * 4)

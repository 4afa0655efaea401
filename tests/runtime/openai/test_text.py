"""Tokens to text, piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mint_runtime.service.openai.text import Answer, Piece

END = 256


def decode(tokens: Sequence[int]) -> str:
    """Return bytes as text, one token per byte; `END` is special and has no text."""
    return bytes(token for token in tokens if token < END).decode(errors="replace")


def pieces(text: str | bytes, stops: Sequence[str] = (), reason: str = "length") -> list[Piece]:
    """Return what comes of each token of `text`; with the reason "stop" a special token follows."""
    tokens = list(text.encode() if isinstance(text, str) else text)
    if reason == "stop":
        tokens.append(END)
    answer = Answer(decode, (), stops)
    last = len(tokens) - 1
    return [
        answer.add(token, -1.0, reason if place == last else None)
        for place, token in enumerate(tokens)
    ]


def joined(found: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in found)


def test_a_character_of_several_tokens_comes_whole() -> None:
    assert [piece.text for piece in pieces("aé🙂b")] == ["a", "", "é", "", "", "", "🙂", "b"]


@given(st.text(max_size=40))
def test_the_pieces_are_the_text(text: str) -> None:
    assert joined(pieces(text, reason="stop")) == text


@given(st.binary(max_size=300))
def test_noise_becomes_what_decoding_it_at_once_gives(noise: bytes) -> None:
    assert joined(pieces(noise, reason="stop")) == noise.decode(errors="replace")


@given(st.text(alphabet="abé", max_size=30), st.text(alphabet="abé", min_size=1, max_size=4))
def test_a_stop_string_ends_the_text_and_is_no_part_of_it(text: str, stop: str) -> None:
    assert joined(pieces(text, [stop], "stop")) == text.partition(stop)[0]


def test_what_may_be_the_beginning_of_a_stop_string_is_held_until_it_is_not() -> None:
    found = pieces("xSTAY", ["STOP"])
    assert [piece.text for piece in found] == ["x", "", "", "STA", "Y"]


def test_the_stop_string_that_comes_first_counts() -> None:
    assert joined(pieces("one two three", ["three", "two"], "stop")) == "one "


def test_a_stop_string_that_comes_in_one_token_with_other_text_is_cut_inside_it() -> None:
    words = {0: "end", 1: "!\nmore"}
    answer = Answer(lambda tokens: "".join(words[token] for token in tokens), (), ["\n"])
    found = [answer.add(0, -1.0), answer.add(1, -1.0, "stop")]
    assert joined(found) == "end!"
    assert found[-1].finish == "stop"


def test_a_stop_token_is_no_part_of_the_text() -> None:
    answer = Answer(decode, (), ())
    found = [answer.add(ord("a"), -1.0), answer.add(ord("b"), -2.0, "stop")]
    assert joined(found) == "a"
    assert [info.token for piece in found for info in piece.tokens] == [ord("a")]


def test_the_token_at_the_limit_is_part_of_the_text() -> None:
    found = pieces("ab", reason="length")
    assert (joined(found), found[-1].finish) == ("ab", "length")


def test_tokens_know_where_their_text_begins() -> None:
    infos = [info for piece in pieces("aéb") for info in piece.tokens]
    assert [(info.token, info.offset) for info in infos] == [(97, 0), (195, 1), (169, 1), (98, 2)]


def test_tokens_behind_the_cut_are_not_reported() -> None:
    infos = [info for piece in pieces("ab.cd", ["."], "stop") for info in piece.tokens]
    assert [chr(info.token) for info in infos] == ["a", "b"]


def test_a_blank_that_a_tokenizer_writes_between_words_is_kept_after_the_prompt() -> None:
    words = ("one", "two", "three")
    answer = Answer(lambda tokens: " ".join(words[token] for token in tokens), [0], ())
    assert answer.add(1, -1.0).text == " two"
    assert answer.add(2, -1.0, "length").text == " three"


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_an_answer_without_tokens_ends(reason: str) -> None:
    assert Answer(decode, (), ()).end(reason) == Piece(finish=reason)

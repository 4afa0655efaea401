"""When a sequence ends."""

from __future__ import annotations

import pytest
from mint_runtime.sampler.stop import StopRule, StopWatch


def decode_utf8(tokens):
    """Treat token ids as bytes, as the worst byte-level tokenizer would."""
    return bytes(tokens).decode("utf-8", errors="replace")


def position_of_stop(text, strings=(), tokens=(), encoding="utf-8"):
    """Return how many tokens are taken until the watch stops, or None."""
    watch = StopWatch(
        StopRule(strings=tuple(strings), tokens=frozenset(tokens), decode=decode_utf8)
    )
    for count, token in enumerate(text.encode(encoding), start=1):
        if watch.ends_with(token):
            return count
    return None


def test_stop_token_ends_where_it_appears():
    assert position_of_stop("abcabc", tokens=[ord("c")]) == 3


def test_nothing_to_stop_at_never_stops():
    assert position_of_stop("abc") is None


def test_stop_string_ends_at_the_token_that_completes_it():
    assert position_of_stop("xx</end>yy", ["</end>"]) == 8


def test_first_of_several_strings_wins():
    assert position_of_stop("one two three", ["three", "two"]) == 7


def test_repeated_beginnings_do_not_hide_a_match():
    assert position_of_stop("aaaab", ["aab"]) == 5


@pytest.mark.parametrize("text", ["grüße, Jürgen", "日本語のテキスト", "a👩‍👧b"])
def test_characters_split_over_tokens_are_found_when_complete(text):
    last = text[-2:]

    assert position_of_stop(text, [last]) == len(text.encode())


def test_single_character_string_stops():
    assert position_of_stop("ab\ncd", ["\n"]) == 3


def test_text_before_the_tail_cannot_match_twice():
    # The tail kept between tokens is one character short of the string, so "ab" cannot be
    # assembled from an old "a" and a "b" that does not follow it.
    assert position_of_stop("axb", ["ab"]) is None


def test_tokens_and_strings_work_together():
    assert position_of_stop("abc!", ["zz"], [ord("!")]) == 4

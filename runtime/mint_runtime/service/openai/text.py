"""Tokens of one answer turned into text as they come.

Three things keep text back. A token may end inside a character, which the next one completes. Text
that could be the beginning of a stop string must not be sent before it is clear that it is not. And
tokens are decoded together with some before them, because tokenizers write a blank between some
tokens and not before the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[Sequence[int]], str]
_HALF = "\N{REPLACEMENT CHARACTER}"
_MAX_HALVES = 3
"""A character has at most four bytes, so three can be waiting for the last."""
_CONTEXT = 6
"""Tokens of the prompt that are decoded with the first of the answer."""
_MAX_WINDOW = 64
"""Tokens that are decoded again while a character is incomplete: noise may never become one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token of the answer and where its text begins."""

    token: int
    logprob: float
    offset: int
    """Characters of the answer before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What can be sent now."""

    text: str = ""
    tokens: tuple[TokenInfo, ...] = ()
    finish: str | None = None
    """Set on the last piece: "stop" or "length"."""


class Detokenizer:
    """Text of a growing list of tokens; never takes anything back."""

    def __init__(self, decode: Decode, prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt[-_CONTEXT:])
        self._start = 0
        self._read = len(self._tokens)
        self._released = len(decode(self._tokens))

    def add(self, token: int) -> str:
        """Append a token and return the text that is certain now."""
        self._tokens.append(token)
        text = self._decode(self._tokens[self._start :])
        halves = len(text) - len(text.rstrip(_HALF))
        is_noise = len(self._tokens) - self._read > _MAX_WINDOW
        certain = text if is_noise else text[: len(text) - min(halves, _MAX_HALVES)]
        new = certain[self._released :]
        if halves and not is_noise:
            self._released = max(self._released, len(certain))
        else:
            self._start, self._read = self._read, len(self._tokens)
            self._released = len(self._decode(self._tokens[self._start :]))
        return new

    def rest(self) -> str:
        """Return what is left: characters that nobody will complete."""
        return self._decode(self._tokens[self._start :])[self._released :]


class Answer:
    """One answer. Feed it every token in order, the last with its reason to stop."""

    def __init__(self, decode: Decode, prompt: Sequence[int], stop_strings: Sequence[str]) -> None:
        self._text = Detokenizer(decode, prompt)
        self._stops = tuple(stop_strings)
        self._held = ""
        self._length = 0
        """Characters that were sent or are held."""
        self._infos: list[TokenInfo] = []
        self._is_cut = False
        self.is_ended = False
        """The last piece was returned."""
        self.num_tokens = 0
        """All tokens, the one that stopped the answer included."""

    def add(self, token: int, logprob: float, stop_reason: str | None = None) -> Piece:
        """Append a token and return what can be sent."""
        self.num_tokens += 1
        if not self._is_cut:
            self._take(token, logprob, stop_reason)
        if stop_reason is None:
            return self._piece(self._sendable(), None)
        return self._piece(self._held, "stop" if self._is_cut else stop_reason)

    def end(self, stop_reason: str) -> Piece:
        """Return the last piece of an answer without a last token."""
        return self._piece(self._held, stop_reason)

    def _take(self, token: int, logprob: float, stop_reason: str | None) -> None:
        info = TokenInfo(token=token, logprob=logprob, offset=self._length)
        halves = self._text.rest()
        new = self._text.add(token)
        if stop_reason is not None:
            new += self._text.rest()
        grown = self._held + new
        cut = min((at for stop in self._stops if (at := grown.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self._is_cut = True
            self._set_held(grown[:cut])
            self._infos = [one for one in (*self._infos, info) if one.offset < self._length]
        elif stop_reason == "stop":
            # The token that stops an answer, when it is not text, is no part of it.
            self._set_held(self._held + halves)
        else:
            self._set_held(grown)
            self._infos.append(info)

    def _set_held(self, text: str) -> None:
        self._length += len(text) - len(self._held)
        self._held = text

    def _sendable(self) -> str:
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        return self._held[: len(self._held) - keep]

    def _piece(self, text: str, finish: str | None) -> Piece:
        self._held = self._held[len(text) :]
        self.is_ended = finish is not None
        if not text and finish is None:
            return Piece()
        infos, self._infos = tuple(self._infos), []
        return Piece(text=text, tokens=infos, finish=finish)


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` with which `stop` begins."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)

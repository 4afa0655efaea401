"""When a sequence ends: at one of some tokens, or when its text contains one of some strings.

Text is decoded as it grows. Byte-level tokenizers split characters over tokens, so a token may add
no text until a later one completes the character; and joining pieces decoded one by one is not the
text of the whole, so each step decodes a short window and keeps what is new in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Decode = Callable[[Sequence[int]], str]
_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """What ends a sequence."""

    tokens: frozenset[int] = frozenset()
    strings: tuple[str, ...] = ()
    decode: Decode | None = None
    """Tokens to text, special tokens included; required with strings."""


class StopWatch:
    """Follows one sequence. Feed it every sampled token in order."""

    def __init__(self, rule: StopRule) -> None:
        """Start before the first sampled token; the prompt never counts."""
        self._rule = rule
        self._tokens: list[int] = []
        self._window_start = 0
        self._read_end = 0
        self._tail = ""
        self._tail_length = max((len(string) for string in rule.strings), default=0)

    def ends_with(self, token: int) -> bool:
        """Add `token` and tell whether the sequence ends with it."""
        if token in self._rule.tokens:
            return True
        if not self._rule.strings:
            return False
        self._tokens.append(token)
        text = self._tail + self._new_text()
        if any(string in text for string in self._rule.strings):
            return True
        # One character less than the longest string: a match must end in text still to come.
        keep = self._tail_length - 1
        self._tail = text[-keep:] if keep else ""
        return False

    def _new_text(self) -> str:
        """Return what new tokens add to the text; nothing while a character is incomplete."""
        assert self._rule.decode is not None
        known = self._rule.decode(self._tokens[self._window_start : self._read_end])
        text = self._rule.decode(self._tokens[self._window_start :])
        if len(text) <= len(known) or text.endswith(_INCOMPLETE):
            return ""
        self._window_start, self._read_end = self._read_end, len(self._tokens)
        return text[len(known) :]

"""The bodies of answers: whole ones and the chunks of a stream, for both kinds of endpoint."""

from __future__ import annotations

import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mint_runtime.engine.commands import SampleResult
from mint_runtime.service.openai import logprobs
from mint_runtime.service.openai.generation import Choice, Work, usage
from mint_runtime.service.openai.text import Piece
from mint_runtime.wire.openai import ChatRequest, CompletionRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What all bodies of one answer have in common."""

    prefix: str
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, kind: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": f"{self.prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
        }


class Shape(ABC):
    """How one request is answered."""

    work: Work

    @abstractmethod
    def whole(self, choices: Sequence[Choice], results: list[SampleResult]) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""

    @abstractmethod
    def opening(self) -> list[dict[str, Any]]:
        """Return the chunks that come before the first token."""

    @abstractmethod
    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Return the chunks of one piece of the answer `index`."""

    @abstractmethod
    def closing(self, results: list[SampleResult]) -> dict[str, Any]:
        """Return the chunk that reports the usage."""


class CompletionShape(Shape):
    """Text completions."""

    def __init__(self, request: CompletionRequest, work: Work) -> None:
        self.work = work
        self._request = request
        self._head = _Head(prefix="cmpl", model=request.model)

    def whole(self, choices: Sequence[Choice], results: list[SampleResult]) -> dict[str, Any]:
        body = self._body([self._choice(choice, results) for choice in choices])
        return {**body, "usage": usage(self.work, results).view()}

    def opening(self) -> list[dict[str, Any]]:
        if not self._request.echo:
            return []
        return [
            self._body([_text(index, self._prompt(index).text, None, None)])
            for index in range(len(self.work.prompts) * self.work.num_choices)
        ]

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        view = self._logprobs(index, piece.tokens)
        return [self._body([_text(index, piece.text, view, piece.finish)])]

    def closing(self, results: list[SampleResult]) -> dict[str, Any]:
        return {**self._body([]), "usage": usage(self.work, results).view()}

    def _choice(self, choice: Choice, results: list[SampleResult]) -> dict[str, Any]:
        view = self._logprobs(choice.index, choice.tokens)
        if not self._request.echo:
            return _text(choice.index, choice.text, view, choice.finish)
        prompt = self._prompt(choice.index)
        if view is not None:
            result = results[choice.index // self.work.num_choices]
            num_top = self._request.logprobs or 0
            before = logprobs.prompt_view(prompt, result, self.work.tokenizer, num_top)
            view = logprobs.joined(before, view)
        return _text(choice.index, prompt.text + choice.text, view, choice.finish)

    def _logprobs(self, index: int, tokens: Sequence[Any]) -> dict[str, Any] | None:
        if self._request.logprobs is None:
            return None
        return logprobs.completion_view(
            tokens,
            self.work.tokenizer,
            start=len(self._prompt(index).text) if self._request.echo else 0,
            num_top=self._request.logprobs,
        )

    def _prompt(self, index: int) -> Any:
        return self.work.prompts[index // self.work.num_choices]

    def _body(self, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return self._head.body("text_completion", choices)


class ChatShape(Shape):
    """Chat completions."""

    def __init__(self, request: ChatRequest, work: Work) -> None:
        self.work = work
        self._request = request
        self._head = _Head(prefix="chatcmpl", model=request.model)

    def whole(self, choices: Sequence[Choice], results: list[SampleResult]) -> dict[str, Any]:
        body = self._head.body("chat.completion", [self._choice(choice) for choice in choices])
        return {**body, "usage": usage(self.work, results).view()}

    def opening(self) -> list[dict[str, Any]]:
        return [
            self._chunk(index, {"role": "assistant", "content": ""}, None, None)
            for index in range(self.work.num_choices)
        ]

    def chunk(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        chunks = []
        if piece.text or piece.tokens:
            delta = {"content": piece.text}
            chunks.append(self._chunk(index, delta, self._logprobs(piece.tokens), None))
        if piece.finish is not None:
            chunks.append(self._chunk(index, {}, None, piece.finish))
        return chunks

    def closing(self, results: list[SampleResult]) -> dict[str, Any]:
        body = self._head.body("chat.completion.chunk", [])
        return {**body, "usage": usage(self.work, results).view()}

    def _choice(self, choice: Choice) -> dict[str, Any]:
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": self._logprobs(choice.tokens),
            "finish_reason": choice.finish,
        }

    def _chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        view: Mapping[str, Any] | None,
        finish: str | None,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": view, "finish_reason": finish}
        return self._head.body("chat.completion.chunk", [choice])

    def _logprobs(self, tokens: Sequence[Any]) -> dict[str, Any] | None:
        if not self._request.logprobs:
            return None
        return logprobs.chat_view(tokens, self.work.tokenizer, self._request.top_logprobs)


def _text(
    index: int, text: str, view: Mapping[str, Any] | None, finish: str | None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": view, "finish_reason": finish}

"""Draws the answers to one request, all at once or token by token.

A streamed request listens to the engine: tokens arrive on its thread and are handed to the event
loop in bunches, as many as have come since the loop last looked. The result that follows is the
truth; what a listener was not told is taken from it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mint_runtime.engine.commands import Result, Sample, SampledSequence, SampledToken, SampleResult
from mint_runtime.service.openai.prompts import Prompt
from mint_runtime.service.openai.targets import Target, Targets
from mint_runtime.service.openai.text import Answer, Piece, TokenInfo
from mint_runtime.service.openai.tokenizer import Tokenizer
from mint_runtime.service.services import Services
from mint_runtime.service.steps import Timing
from mint_runtime.wire.openai import Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of a request."""

    prompt: int
    completion: int
    cached: int

    def view(self) -> dict[str, Any]:
        """Return the `usage` of an answer."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One whole answer."""

    index: int
    text: str
    tokens: tuple[TokenInfo, ...]
    finish: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request that is ready to be drawn. Answer i of prompt p has the index `p * n + i`."""

    op: str
    target: Target
    tokenizer: Tokenizer
    prompts: tuple[Prompt, ...]
    commands: tuple[Sample, ...]
    """One for each prompt."""
    num_choices: int
    """Of each prompt."""
    stop_strings: tuple[str, ...]

    def answers(self, prompt: int) -> list[Answer]:
        """Return the empty answers to one prompt."""
        tokens = self.prompts[prompt].tokens
        return [
            Answer(self.tokenizer.decode, tokens, self.stop_strings)
            for _ in range(self.num_choices)
        ]


def sample_command(
    request: Generation, target: Target, tokenizer: Tokenizer, prompt: Prompt, limit: int | None
) -> Sample:
    """Return what the engine is asked for one prompt.

    Stop tokens come on top of those that end a sequence of the model anyway.
    """
    stops = request.stop_token_ids
    return Sample(
        sampler_id=target.sampler_id,
        tokens=np.array(prompt.tokens, dtype=np.int64),
        num_samples=request.n,
        max_tokens=limit,
        temperature=request.temperature,
        top_k=-1 if request.top_k == 0 else request.top_k,
        top_p=request.top_p,
        seed=request.seed,
        stop_tokens=tuple(sorted({*stops, *tokenizer.end_tokens})) if stops else None,
        stop_strings=request.stop_strings(),
    )


async def draw(
    services: Services, targets: Targets, work: Work
) -> tuple[list[Choice], list[SampleResult]]:
    """Return all answers, and what the engine said of each prompt."""
    timing = Timing()
    try:
        futures = [services.submit(command, timing) for command in work.commands]
        try:
            results = await asyncio.gather(*futures)
        finally:
            for future in futures:
                future.cancel()
    finally:
        targets.release(work.target)
    sampled = [_sampled(result) for result in results]
    choices = await asyncio.to_thread(_choices, work, sampled)
    log(services, work, timing, sampled)
    return choices, sampled


async def stream(
    services: Services, targets: Targets, work: Work, results: list[SampleResult]
) -> AsyncIterator[tuple[int, Piece]]:
    """Yield (index of the answer, piece) as tokens come; at the end `results` has one per prompt.

    Raises:
        RuntimeServerError: The engine refused or failed; other prompts are abandoned.
    """
    timing = Timing()
    feed = _Feed(len(work.commands))
    futures = _submit(services, work, feed, timing)
    _release_when_done(targets, work.target, futures)
    answers = [work.answers(prompt) for prompt in range(len(work.prompts))]
    try:
        async for prompt, event in feed.events():
            if isinstance(event, SampledToken):
                answer = answers[prompt][event.sequence]
                piece = answer.add(event.token, event.logprob, event.stop_reason)
                pieces = [(event.sequence, piece)]
            else:
                pieces = _missing(answers[prompt], event)
            for sequence, piece in pieces:
                if piece != Piece():
                    yield prompt * work.num_choices + sequence, piece
        results.extend(_sampled(future.result()) for future in futures)
    finally:
        feed.close()
        for future in futures:
            future.cancel()
    log(services, work, timing, results)


def usage(work: Work, results: list[SampleResult]) -> Usage:
    """Count the tokens of a request."""
    return Usage(
        prompt=sum(len(prompt.tokens) for prompt in work.prompts),
        completion=sum(len(one.tokens) for result in results for one in result.sequences),
        cached=sum(result.prompt_cache_hit_tokens for result in results),
    )


def log(services: Services, work: Work, timing: Timing, results: list[SampleResult]) -> None:
    """Write the line of a request."""
    counted = usage(work, results)
    facts = {
        "op": work.op,
        "prompt_tokens": counted.prompt,
        "sequences": len(work.prompts) * work.num_choices,
        "tokens": counted.completion,
    }
    services.steps.done(work.target.sampler_id, facts, timing)


def _choices(work: Work, results: list[SampleResult]) -> list[Choice]:
    choices: list[Choice] = []
    for prompt, result in enumerate(results):
        for answer, sequence in zip(work.answers(prompt), result.sequences, strict=True):
            pieces = _remaining(answer, sequence)
            choices.append(
                Choice(
                    index=len(choices),
                    text="".join(piece.text for piece in pieces),
                    tokens=tuple(info for piece in pieces for info in piece.tokens),
                    finish=pieces[-1].finish or sequence.stop_reason,
                )
            )
    return choices


def _remaining(answer: Answer, sequence: SampledSequence) -> list[Piece]:
    """Feed an answer the tokens that it has not seen, and close it if it is still open."""
    known, count = answer.num_tokens, len(sequence.tokens)
    pieces = [
        answer.add(
            int(sequence.tokens[place]),
            float(sequence.logprobs[place]),
            sequence.stop_reason if place == count - 1 else None,
        )
        for place in range(known, count)
    ]
    if known == count and not answer.is_ended:
        pieces.append(answer.end(sequence.stop_reason))
    return pieces


def _missing(answers: list[Answer], result: SampleResult) -> list[tuple[int, Piece]]:
    return [
        (index, piece)
        for index, (answer, sequence) in enumerate(zip(answers, result.sequences, strict=True))
        for piece in _remaining(answer, sequence)
    ]


def _submit(services: Services, work: Work, feed: _Feed, timing: Timing) -> list[Future[Result]]:
    futures = []
    for prompt, command in enumerate(work.commands):
        heard = replace(command, listener=partial(feed.put, prompt))
        future = services.engine.submit(heard)
        timing.watch(future)
        future.add_done_callback(partial(feed.end, prompt))
        futures.append(future)
    return futures


def _release_when_done(targets: Targets, target: Target, futures: list[Future[Result]]) -> None:
    """Release the target when the engine is done with it, maybe after the client has gone."""
    loop = asyncio.get_running_loop()
    left = len(futures)

    def one_less() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            targets.release(target)

    def ended(_: Future[Result]) -> None:
        # The loop may have ended with the server.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(one_less)

    for future in futures:
        future.add_done_callback(ended)


def _sampled(result: Result) -> SampleResult:
    assert isinstance(result, SampleResult)
    return result


class _Feed:
    """Carries tokens and results from the engine's thread to the event loop."""

    def __init__(self, num_prompts: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._waiting: deque[tuple[int, SampledToken | Future[Result]]] = deque()
        self._open_prompts = num_prompts
        self._is_closed = False
        self._is_woken = False

    def put(self, prompt: int, token: SampledToken) -> None:
        """Take a token. Called on the engine's thread."""
        self._append(prompt, token)

    def end(self, prompt: int, future: Future[Result]) -> None:
        """Take the result of a prompt. Called on any thread."""
        self._append(prompt, future)

    def close(self) -> None:
        """Drop whatever comes from now on."""
        self._is_closed = True
        self._waiting.clear()

    async def events(self) -> AsyncIterator[tuple[int, SampledToken | SampleResult]]:
        """Yield tokens and results as they come, until every prompt has its result."""
        while self._open_prompts:
            await self._wake.wait()
            self._wake.clear()
            self._is_woken = False
            while self._waiting:
                prompt, event = self._waiting.popleft()
                if isinstance(event, SampledToken):
                    yield prompt, event
                else:
                    self._open_prompts -= 1
                    yield prompt, _sampled(event.result())

    def _append(self, prompt: int, event: SampledToken | Future[Result]) -> None:
        if self._is_closed:
            return
        self._waiting.append((prompt, event))
        # One wake-up serves all tokens that come before the loop gets to it.
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

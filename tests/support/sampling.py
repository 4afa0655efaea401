"""Requests to the sampler and their answers, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mint_runtime.model.adapter import Adapter, new_adapter
from mint_runtime.model.load import BaseModel
from mint_runtime.sampler.limits import Limits, Sizes
from mint_runtime.sampler.logits import Choice
from mint_runtime.sampler.request import Draw, Generation, NewToken, Request
from mint_runtime.sampler.schedule import Scheduler

from support.tiny import VOCAB_SIZE, shake

GREEDY = Choice(temperature=0.0)
# Small enough that texts of a few dozen tokens span several pages.
PAGE = 4


class Asked:
    """A request, and what has come of it."""

    def __init__(
        self, prompt: Sequence[int], *, adapter: Adapter | None = None, **draw: Any
    ) -> None:
        """Ask for 16 tokens of one sample unless told otherwise."""
        self.generation: Generation | None = None
        self.error: BaseException | None = None
        self.heard: list[NewToken] = []
        self.request = Request(
            adapter=adapter,
            prompt_T=np.asarray(prompt, dtype=np.int64),
            draw=Draw(**{"max_tokens": 16, "seed": 0, **draw}),
            done=self._done,
            failed=self._failed,
            listener=self.heard.append,
        )

    def _done(self, generation: Generation) -> None:
        assert not self.is_answered
        self.generation = generation

    def _failed(self, error: BaseException) -> None:
        assert not self.is_answered
        self.error = error

    @property
    def is_answered(self) -> bool:
        """Tell whether there is an answer."""
        return self.generation is not None or self.error is not None

    @property
    def result(self) -> Generation:
        """Return the answer, which must be there."""
        assert self.error is None, self.error
        assert self.generation is not None
        return self.generation

    @property
    def tokens(self) -> list[list[int]]:
        """Return the tokens of each sample."""
        return [sequence.tokens for sequence in self.result.continuations]

    @property
    def logprobs(self) -> list[list[float]]:
        """Return the log-probabilities of each sample."""
        return [sequence.logprobs for sequence in self.result.continuations]


def limits(**changes: Any) -> Limits:
    """Return limits with small pages and a small cache."""
    return Limits(**{"page_size": PAGE, "cache_bytes": 2**24, **changes})


def cache_of(base: BaseModel, num_pages: int, page_size: int = PAGE) -> int:
    """Return the bytes of a cache of that many pages."""
    one = Sizes.of(base, Limits(page_size=page_size, cache_bytes=2**24))
    return 2**24 // one.max_pages * num_pages


def scheduler_of(base: BaseModel, *, num_pages: int | None = None, **changes: Any) -> Scheduler:
    """Return a scheduler with small pages, and as many of them as asked."""
    if num_pages is not None:
        changes["cache_bytes"] = cache_of(base, num_pages)
    return Scheduler(base, limits(**changes))


def finish(scheduler: Scheduler) -> None:
    """Step until there is nothing left to do."""
    while scheduler.has_work:
        assert scheduler.step()


def ask(scheduler: Scheduler, *asked: Asked) -> None:
    """Queue the requests together and wait for the answers."""
    for each in asked:
        scheduler.add(each.request)
    finish(scheduler)


def prompts(lengths: Iterable[int], seed: int = 0) -> list[list[int]]:
    """Return random prompts."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB_SIZE, length).tolist() for length in lengths]


def adapter(base: BaseModel, seed: int, rank: int = 4) -> Adapter:
    """Return a frozen adapter that changes every layer."""
    made = new_adapter(
        base.layers, rank=rank, groups=frozenset({"attn", "mlp", "unembed"}), seed=seed
    )
    shake(made, seed)
    return made.frozen_copy()


def greedy_by_hand(logits_of: Any, prompt: Sequence[int], num_tokens: int) -> list[int]:
    """Continue a prompt with a whole pass per token."""
    text = torch.tensor(prompt)
    for _ in range(num_tokens):
        text = torch.cat([text, logits_of(text)[-1].argmax()[None]])
    return text[len(prompt) :].tolist()

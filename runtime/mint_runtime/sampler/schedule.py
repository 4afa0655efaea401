"""Continuous batching: which sequences run, and what each pass computes of them.

    scheduler = Scheduler(base, Limits())
    scheduler.add(request)
    while scheduler.has_work:
        scheduler.step()

A step is one packed pass: the newest token of every sequence that is being drawn, and pieces of
prompts up to a budget. Sequences of different requests and adapters join and leave with every step,
and what a sequence becomes does not depend on the others.

Order. Requests come in by arrival, those with nothing running first; one request never takes all
rows. The samples of a request go on from one computed prompt and share its pages. Requests whose
prompts begin alike wait for the first of them instead of computing the beginning too.

Memory. When no page is left the sequence that began last is set back: its pages are taken, and it
is computed again when there is room. Its random stream goes on where it was, so its result stays.
The sequence that began first is never set back, so every step gets something done.

Errors. A request whose listener or stop rule raises fails alone. When a pass raises, the requests
with rows in it fail. Nothing but `step` calls back, except for requests that need no pass.

Used by one thread; `stats` may be read from any.
"""

from __future__ import annotations

import bisect
import itertools
import logging
import math
from collections.abc import Hashable

import torch

from mint_runtime.errors import UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.sampler.limits import Limits, SamplerStats, Sizes
from mint_runtime.sampler.memory import SequencePages
from mint_runtime.sampler.passes import Drawn, Pass, Piece, draw_tokens, read_prompt, run
from mint_runtime.sampler.request import Request
from mint_runtime.sampler.sequence import LENGTH, Job, Sequence

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs the sampling requests of one base model and all its adapters."""

    def __init__(self, base: BaseModel, limits: Limits | None = None) -> None:
        """Start without work.

        Raises:
            UserError: the memory allowed does not hold a single page.
        """
        self._base = base
        self._sizes = Sizes.of(base, limits or Limits())
        self._memory = SequencePages(self._sizes, base.device, base.dtype)
        self._waiting: list[Job] = []
        self._running: list[Sequence] = []
        """By the order in which they began."""
        self._set_back: list[Sequence] = []
        self._numbers = itertools.count()
        self._orders = itertools.count()
        self._sampled_tokens = self._prompt_tokens = self._cached_tokens = self._num_steps = 0

    @property
    def has_work(self) -> bool:
        """Tell whether a step would do something."""
        return bool(self._running or self._waiting or self._set_back)

    @property
    def stats(self) -> SamplerStats:
        """Return counters and what is held now."""
        book = self._memory.book
        return SamplerStats(
            num_waiting=sum(job.num_unstarted for job in self._waiting) + len(self._set_back),
            num_running=len(self._running),
            sampled_tokens=self._sampled_tokens,
            prompt_tokens=self._prompt_tokens,
            cached_prompt_tokens=self._cached_tokens,
            num_decode_steps=self._num_steps,
            num_pages=book.max_pages,
            num_used_pages=book.num_held + book.num_idle,
            num_cached_pages=book.num_idle,
        )

    def add(self, request: Request) -> None:
        """Queue a request.

        Raises:
            UserError: prompt and continuation would not fit the cache even alone.
        """
        num_tokens = len(request.prompt_T) + request.draw.max_tokens
        if self._sizes.pages(num_tokens) > self._sizes.max_pages:
            raise UserError(
                f"prompt and `max_tokens` are {num_tokens} tokens together; this server has "
                f"memory for {self._sizes.max_pages * self._sizes.page_size} at a time, so ask "
                "for less or allow its cache more"
            )
        space = self._memory.book.space(request.adapter)
        job = Job.of(request, next(self._numbers), space)
        self._prompt_tokens += len(job.prompt)
        if request.draw.max_tokens or not job.is_prompt_read:
            self._waiting.append(job)
        else:
            self._end_without_tokens(job)

    def cancel(self, request: Request) -> None:
        """Forget a request without an answer. One that has ended is ignored."""
        for job in self._jobs():
            if job.request is request:
                self._drop(job)

    def fail_all(self, error: BaseException) -> None:
        """Answer every request with `error`."""
        for job in self._jobs():
            self._fail(job, error)

    def forget(self, owner: Hashable) -> None:
        """Free what is cached for an adapter (None: for the base model). Its requests go on."""
        self._memory.book.forget(owner)

    @torch.inference_mode()
    def step(self) -> bool:
        """Run one pass and hand out what it finishes; tell whether there was anything to run."""
        self._admit()
        pieces = self._pieces()
        if not pieces:
            return False
        self._num_steps += 1
        try:
            self._memory.clean()
            self._advance(run(self._base, self._memory.store, pieces))
        except Exception as error:
            logger.exception("a sampling pass failed")
            for job in {piece.sequence.job for piece in pieces}:
                self._fail(job, error)
        return True

    def _jobs(self) -> list[Job]:
        sequences = (*self._running, *self._set_back)
        return list(dict.fromkeys([*self._waiting, *(each.job for each in sequences)]))

    # Who runs.

    def _admit(self) -> None:
        """Let sequences begin while there are rows and pages for them."""
        while self._set_back and self._num_free_rows:
            sequence = self._set_back[0]
            if not self._memory.begin(sequence, self._running):
                return
            self._set_back.pop(0)
            bisect.insort(self._running, sequence, key=lambda each: each.order)
        if self._set_back or not self._num_free_rows:
            return
        by_turn = sorted(self._waiting, key=lambda job: (job.num_running, job.number))
        # Those that wait for others cost a look each, so a long queue is not walked through.
        for job in by_turn[: self._sizes.max_rows]:
            if not self._num_free_rows:
                return
            if job.is_leading or job.num_running >= self._sizes.max_rows_per_request:
                continue
            if self._memory.awaits_another(job):
                continue
            sequence = Sequence(job, job.num_started, next(self._orders))
            if not self._memory.begin(sequence, self._running):
                return
            job.is_leading = True
            if job.num_cached is None:
                job.num_cached = sequence.num_computed
                self._cached_tokens += sequence.num_computed
            self._join(sequence)

    @property
    def _num_free_rows(self) -> int:
        return self._sizes.max_rows - len(self._running)

    def _join(self, sequence: Sequence) -> None:
        job = sequence.job
        self._running.append(sequence)
        job.num_started += 1
        job.num_running += 1
        if not job.num_unstarted:
            self._waiting.remove(job)

    def _pieces(self) -> list[Piece]:
        """Choose the rows of the next pass and make room for them, the oldest sequence first."""
        pieces: list[Piece] = []
        budget = self._sizes.max_step_tokens
        # The list shrinks from its end meanwhile, when older sequences need pages.
        for sequence in self._running:
            length = sequence.num_pending
            if length > 1:
                length = min(length, budget)
                budget -= length
            if length and self._make_room(sequence, length):
                pieces.append(Piece(sequence=sequence, length=length))
        return pieces

    def _make_room(self, sequence: Sequence, length: int) -> bool:
        while not self._memory.extend(sequence, length):
            youngest = self._running[-1]
            if youngest is sequence:
                return False
            self._running.pop()
            self._memory.empty(youngest)
            bisect.insort(self._set_back, youngest, key=lambda each: each.order)
        return True

    # What a pass has found.

    def _advance(self, done: Pass) -> None:
        wanted = []
        for number, piece in enumerate(done.pieces):
            sequence = piece.sequence
            if not sequence.job.is_prompt_read:
                read_prompt(self._base, done, number)
            is_last = piece.is_last
            self._memory.computed(sequence, piece.length)
            if is_last:
                wanted.append((number, self._followers(sequence)))
        wanted = [(number, sequences) for number, sequences in wanted if sequences]
        for drawn in draw_tokens(self._base, done, wanted):
            self._accept(drawn)

    def _followers(self, sequence: Sequence) -> list[Sequence]:
        """Return the sequences that go on from here: this one, and copies after a prompt."""
        if not sequence.is_in_prompt:
            return [sequence]
        job = sequence.job
        job.is_leading = False
        job.is_prompt_read = True
        if not job.request.draw.max_tokens:
            self._drop(job)
            self._end_without_tokens(job)
            return []
        count = min(
            job.num_unstarted,
            self._num_free_rows,
            self._sizes.max_rows_per_request - job.num_running,
            self._memory.book.num_available - len(self._running),
        )
        group = [sequence]
        for _ in range(count):
            copy = Sequence(job, job.num_started, next(self._orders))
            self._memory.share(sequence, copy)
            self._join(copy)
            group.append(copy)
        return group

    def _accept(self, drawn: Drawn) -> None:
        sequence, job = drawn.sequence, drawn.sequence.job
        if job.is_dropped:
            return
        self._sampled_tokens += 1
        if math.isnan(drawn.logprob):
            self._fail(job, UserError("the logits are not numbers: the weights have diverged"))
            return
        try:
            reason = sequence.add(drawn.token, drawn.logprob)
        except Exception as error:
            logger.exception("a sampling request failed")
            self._fail(job, error)
            return
        if reason is None:
            return
        sequence.end(reason)
        self._running.remove(sequence)
        self._memory.empty(sequence)
        job.num_running -= 1
        if job.is_ended:
            self._answer(job)

    def _end_without_tokens(self, job: Job) -> None:
        for index in range(job.request.draw.num_samples):
            Sequence(job, index, next(self._orders)).end(LENGTH)
        self._answer(job)

    def _answer(self, job: Job) -> None:
        job.is_dropped = True
        try:
            job.request.done(job.generation())
        except Exception:
            logger.exception("nobody takes the answer of a sampling request")

    def _fail(self, job: Job, error: BaseException) -> None:
        if job.is_dropped:
            return
        self._drop(job)
        try:
            job.request.failed(error)
        except Exception:
            logger.exception("nobody takes the error of a sampling request")

    def _drop(self, job: Job) -> None:
        job.is_dropped = True
        if job in self._waiting:
            self._waiting.remove(job)
        for sequences in (self._running, self._set_back):
            for sequence in [each for each in sequences if each.job is job]:
                sequences.remove(sequence)
                self._memory.empty(sequence)

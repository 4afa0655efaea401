"""The pages of sequences: taken as they grow, shared where their texts begin alike, given back."""

from __future__ import annotations

from collections.abc import Sized

import torch

from mint_runtime.sampler.limits import Sizes
from mint_runtime.sampler.pages import Key, PageBook
from mint_runtime.sampler.sequence import Job, Sequence
from mint_runtime.sampler.store import PageStore


class SequencePages:
    """Keeps the pages of every sequence in order. `book` counts them, `store` is their memory."""

    def __init__(self, sizes: Sizes, device: torch.device, dtype: torch.dtype) -> None:
        """Hold nothing yet."""
        self._sizes = sizes
        self.book = PageBook(sizes.max_pages, sizes.page_size)
        self.store = PageStore(sizes, device, dtype)
        self._in_progress: set[Key] = set()
        self._unclean: set[int] = set()
        """Pages that may hold what somebody else has written."""

    def awaits_another(self, job: Job) -> bool:
        """Tell whether a running sequence is computing a page that the prompt could begin with."""
        if job.awaited in self._in_progress:
            return True
        job.awaited = None
        if job.is_prompt_read:
            beginning = job.prompt[:-1]
            pages, entry = self.book.find(job.space, beginning)
            key = self._key(beginning, entry, len(pages))
            if len(key[1]) == self._sizes.page_size and key in self._in_progress:
                job.awaited = key
        return job.awaited is not None

    def begin(self, sequence: Sequence, running: Sized) -> bool:
        """Give a sequence the pages that hold its beginning already.

        Returns False, and gives none, when there is no room for the rest of what it must compute
        and for the others to grow. Beside no others there always is.
        """
        pages: list[int] = []
        entry = sequence.job.space
        # What is to be reported about a prompt comes from its hidden states, which are not kept.
        if sequence.job.is_prompt_read:
            # One token at least must be computed: the next is drawn from what comes out.
            pages, entry = self.book.find(sequence.job.space, sequence.text[:-1])
        self.book.hold(pages)
        num_missing = self._sizes.pages(len(sequence.text)) - len(pages)
        if len(running) and self.book.num_available < num_missing + len(running):
            self.book.release(pages)
            return False
        sequence.pages, sequence.entry = pages, entry
        sequence.num_published = len(pages)
        sequence.num_computed = len(pages) * self._sizes.page_size
        self._announce(sequence)
        return True

    def extend(self, sequence: Sequence, length: int) -> bool:
        """Make room for `length` more tokens, on pages that nobody else reads.

        Returns False when a page is missing; what was taken until then stays with the sequence.
        """
        pages = sequence.pages
        place, offset = divmod(sequence.num_computed, self._sizes.page_size)
        if offset and self.book.is_shared(pages[place]):
            page = self._take()
            if page is None:
                return False
            self.store.copy(pages[place], page)
            self._unclean.discard(page)
            self.book.release([pages[place]])
            pages[place] = page
        while len(pages) < self._sizes.pages(sequence.num_computed + length):
            page = self._take()
            if page is None:
                return False
            pages.append(page)
            self._unclean.add(page)
        return True

    def clean(self) -> None:
        """Clear the pages given out since the last pass. To be called before each."""
        self.store.clear(self._unclean)
        self._unclean.clear()

    def computed(self, sequence: Sequence, length: int) -> None:
        """Note that the pages hold `length` more tokens, and let others find the full ones."""
        sequence.num_computed += length
        num_full = sequence.num_computed // self._sizes.page_size
        for place in range(sequence.num_published, num_full):
            key = self._key(sequence.text, sequence.entry, place)
            sequence.entry = self.book.publish(sequence.pages[place], sequence.job.space, key)
        sequence.num_published = num_full
        self._announce(sequence)

    def share(self, source: Sequence, copy: Sequence) -> None:
        """Let `copy`, which has the same text, go on from the pages of `source`."""
        self.book.hold(source.pages)
        copy.pages = list(source.pages)
        copy.entry, copy.num_published = source.entry, source.num_published
        copy.num_computed = source.num_computed

    def empty(self, sequence: Sequence) -> None:
        """Give back every page; the sequence must begin again to go on."""
        self.book.release(sequence.pages)
        sequence.pages, sequence.num_computed = [], 0
        sequence.entry, sequence.num_published = sequence.job.space, 0
        self._withdraw(sequence)
        if not sequence.job.is_prompt_read:
            sequence.job.prompt_logprobs.clear()
            sequence.job.top_prompt.clear()

    def _take(self) -> int | None:
        page = self.book.take()
        if page is not None:
            self.store.require(self.book.num_touched)
        return page

    def _announce(self, sequence: Sequence) -> None:
        """Let others wait for the next page of a prompt instead of computing it too."""
        if sequence.awaited is not None:
            self._withdraw(sequence)
        if sequence.num_pending <= 1 or not sequence.is_in_prompt:
            return
        key = self._key(sequence.text, sequence.entry, sequence.num_published)
        if len(key[1]) == self._sizes.page_size and key not in self._in_progress:
            self._in_progress.add(key)
            sequence.awaited = key

    def _withdraw(self, sequence: Sequence) -> None:
        if sequence.awaited is not None:
            self._in_progress.discard(sequence.awaited)
            sequence.awaited = None

    def _key(self, text: list[int], entry: int, place: int) -> Key:
        """Return the key of the page at `place`; with fewer tokens where the text ends before."""
        start = place * self._sizes.page_size
        return entry, tuple(text[start : start + self._sizes.page_size])

"""Who holds which page of the cache, and which pages can be found again by what they hold.

A page is a number; the tensors behind it are in `store.py`. Sequences hold pages, several may hold
the same one. A full page can be published under the tokens it holds and the page before it, so a
later prompt that begins alike finds it. When nobody holds a published page any more it stays,
idle, until its space is needed; then the one idle for longest goes first.

Names are exact: the key of a page is the entry before it and its own tokens, not a hash of them.
Keys of different adapters never meet, because every chain starts at the space of its adapter.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

Key = tuple[int, tuple[int, ...]]
"""Number of the entry (or of the space) before, and the tokens of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    number: int
    """Never used again, so what followed a page that is gone cannot be taken for something else."""
    page: int
    key: Key
    space: int


class PageBook:
    """Counts holders, hands out pages, finds published ones. Not thread-safe."""

    def __init__(self, max_pages: int, page_size: int, min_idle: int = 512) -> None:
        """Start with no page in use.

        Args:
            max_pages: how many there may ever be.
            page_size: tokens per page.
            min_idle: idle pages kept in any case, as long as `max_pages` is not reached; beyond, as
                many are kept as are held, so the cache follows what is in use.
        """
        self.page_size = page_size
        self.max_pages = max_pages
        self._min_idle = min_idle
        self._holders: list[int] = []
        self._free: list[int] = []
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._entry_of_page: dict[int, _Entry] = {}
        self._entries: dict[Key, _Entry] = {}
        self._spaces: dict[Hashable, int] = {}
        self._pages_of_space: dict[int, set[int]] = {}
        self._numbers = itertools.count()

    @property
    def num_touched(self) -> int:
        """Return how many pages were ever handed out: what must exist in memory."""
        return len(self._holders)

    @property
    def num_idle(self) -> int:
        """Return how many pages are kept but held by nobody."""
        return len(self._idle)

    @property
    def num_held(self) -> int:
        """Return how many pages somebody holds."""
        return len(self._holders) - len(self._free) - len(self._idle)

    @property
    def num_available(self) -> int:
        """Return how many pages can be taken."""
        return self.max_pages - self.num_held

    def is_shared(self, page: int) -> bool:
        """Tell whether the page has several holders, so that none of them may write to it."""
        return self._holders[page] > 1

    def take(self) -> int | None:
        """Return a page with one holder, the caller; None when every page is held."""
        page = self._unused()
        if page is not None:
            self._holders[page] = 1
        return page

    def hold(self, pages: Iterable[int]) -> None:
        """Add a holder to each of these held or idle pages."""
        for page in pages:
            if not self._holders[page]:
                del self._idle[page]
            self._holders[page] += 1

    def release(self, pages: Sequence[int]) -> None:
        """Take one holder off each page of a sequence, given from its start.

        Its end becomes idle first and is dropped first: a beginning is shared more often.
        """
        for page in reversed(pages):
            self._holders[page] -= 1
            assert self._holders[page] >= 0
            if self._holders[page]:
                continue
            if page in self._entry_of_page:
                self._idle[page] = None
            else:
                self._free.append(page)

    def space(self, owner: Hashable) -> int:
        """Return the number of the key space of `owner`, an adapter or None."""
        if owner not in self._spaces:
            number = next(self._numbers)
            self._spaces[owner] = number
            self._pages_of_space[number] = set()
        return self._spaces[owner]

    def forget(self, owner: Hashable) -> None:
        """Drop the key space of `owner`: its idle pages become free, held ones when released."""
        space = self._spaces.pop(owner, None)
        if space is None:
            return
        for page in self._pages_of_space.pop(space):
            del self._entries[self._entry_of_page.pop(page).key]
            if page in self._idle:
                del self._idle[page]
                self._free.append(page)

    def find(self, space: int, tokens: Sequence[int]) -> tuple[list[int], int]:
        """Return published pages that `tokens` begin with, and the number of the last entry.

        The pages are not held yet. Without any, the number is that of the space.
        """
        pages, last = [], space
        for start in range(0, len(tokens) - self.page_size + 1, self.page_size):
            entry = self._entries.get((last, tuple(tokens[start : start + self.page_size])))
            if entry is None:
                break
            pages.append(entry.page)
            last = entry.number
        return pages, last

    def publish(self, page: int, space: int, key: Key) -> int:
        """Let a full page that the caller holds be found; return the number of its entry.

        If there is such a page already that one stays, and its number is returned.
        """
        if space not in self._pages_of_space:
            return space
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(number=next(self._numbers), page=page, key=key, space=space)
            self._entries[key] = self._entry_of_page[page] = entry
            self._pages_of_space[space].add(page)
        return entry.number

    def _unused(self) -> int | None:
        if self._free:
            return self._free.pop()
        is_plenty = self.num_idle > max(self._min_idle, self.num_held)
        if len(self._holders) < self.max_pages and not is_plenty:
            self._holders.append(0)
            return len(self._holders) - 1
        if not self._idle:
            return None
        page, _ = self._idle.popitem(last=False)
        entry = self._entry_of_page.pop(page)
        del self._entries[entry.key]
        self._pages_of_space[entry.space].discard(page)
        return page

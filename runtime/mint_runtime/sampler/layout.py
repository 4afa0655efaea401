"""How the rows of a sampling pass are grouped for attention.

Legend: N rows of a pass, B sequences of a slice, n rows of each, P pages of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mint_runtime.model.attention import CausalPlan
from mint_runtime.sampler.limits import Sizes
from mint_runtime.sampler.store import PageStore

# Keys of one slice, in numbers: beyond, a CPU waits for its memory; a GPU wants much at once.
SLICE_NUMBERS = {"cpu": 2**18, "cuda": 2**28}
# Keys that need not be read again, in numbers, from which on reading them apart pays.
FAMILY_NUMBERS = 2**17

Rows = slice | Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Consecutive tokens of one sequence, in consecutive rows of a pass."""

    start: int
    """First row."""
    length: int
    past: int
    """Tokens of the sequence that are in its pages already."""
    pages: list[int]
    """Room for `past + length` tokens at least."""

    @property
    def is_fresh(self) -> bool:
        """Tell whether this is the beginning of a prompt; a single row joins the others instead."""
        return self.past == 0 and self.length > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fresh:
    """Beginnings of prompts in consecutive rows."""

    rows: slice
    plan: CausalPlan


@dataclass(slots=True, kw_only=True, eq=False)
class Slice:
    """Sequences that read their pages, with the same number of rows each."""

    rows: Rows
    num_rows: int
    """n."""
    page_BP: Tensor
    past_B: Tensor
    """Tokens in these pages that come before the first of the n rows."""
    mask: Tensor | None = None
    """Made for the first layer that needs it, used by all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Single rows of sequences that begin with the same full pages."""

    rows: Rows
    page_1P: Tensor


def slots(spans: Iterable[Span], store: PageStore) -> Tensor:
    """Return where each row's keys and values go: page * page size + place in the page."""
    size = store.sizes.page_size
    found = [
        span.pages[place // size] * size + place % size
        for span in spans
        for place in range(span.past, span.past + span.length)
    ]
    return torch.tensor(found, device=store.device)


def fresh(spans: Iterable[Span], device: torch.device) -> list[Fresh]:
    """Return the beginnings of prompts."""
    found = []
    for is_fresh, group in groupby(spans, lambda span: span.is_fresh):
        if not is_fresh:
            continue
        run = list(group)
        rows = slice(run[0].start, run[-1].start + run[-1].length)
        found.append(Fresh(rows=rows, plan=CausalPlan([span.length for span in run], device)))
    return found


def slices(spans: Iterable[Span], store: PageStore, window: int | None) -> list[Slice]:
    """Return what reads pages, beginnings of prompts left out, cut into slices.

    Pages that lie before the window of every row are left out, too.
    """
    size = store.sizes.page_size
    reading = [_within(span, window, size) for span in spans if not span.is_fresh]
    return [_slice(part, store) for part in _parts(reading, store)]


def _within(span: Span, window: int | None, page_size: int) -> Span:
    if window is None or span.past < window:
        return span
    num_hidden = (span.past - window + 1) // page_size
    return _without(span, num_hidden, page_size)


def _without(span: Span, num_pages: int, page_size: int) -> Span:
    """Return a span that does not know of its first pages."""
    return replace(span, past=span.past - num_pages * page_size, pages=span.pages[num_pages:])


def families(spans: Iterable[Span], store: PageStore) -> tuple[list[Family], list[Span]]:
    """Find sequences that begin alike; return them, and the spans without what they share.

    Both lists together see what the spans see. A shared page is read once for a family instead of
    once for each member.
    """
    size = store.sizes.page_size
    apart: dict[int, Span] = {}
    found = []
    single = [span for span in spans if span.length == 1 and span.past >= size]
    for members, num_shared in _families(single, store.sizes):
        rows = _rows([span.start for span in members], 1, store.device)
        page_1P = torch.tensor([members[0].pages[:num_shared]], device=store.device)
        found.append(Family(rows=rows, page_1P=page_1P))
        for span in members:
            apart[span.start] = _without(span, num_shared, size)
    return found, [apart.get(span.start, span) for span in spans]


def _families(spans: list[Span], sizes: Sizes) -> Iterator[tuple[list[Span], int]]:
    """Yield spans that share pages, ascending by row, and how many they share."""
    by_first: dict[int, list[Span]] = {}
    for span in spans:
        by_first.setdefault(span.pages[0], []).append(span)
    numbers = sizes.page_size * sizes.num_heads * sizes.head_width
    for group in by_first.values():
        for members, num_shared in _alike(group, sizes.page_size):
            if (len(members) - 1) * num_shared * numbers >= FAMILY_NUMBERS:
                yield sorted(members, key=lambda span: span.start), num_shared


def _alike(spans: list[Span], page_size: int) -> Iterator[tuple[list[Span], int]]:
    """Cut spans with the same first page where going on together would lose half of the pages."""
    members: list[Span] = []
    num_shared = 0
    for span in sorted(spans, key=lambda span: span.pages) if len(spans) > 1 else ():
        most = span.past // page_size
        if members:
            common = _num_common(members[0].pages, span.pages, min(num_shared, most))
            if 2 * common >= num_shared:
                members.append(span)
                num_shared = common
                continue
            yield members, num_shared
        members, num_shared = [span], most
    if members:
        yield members, num_shared


def _num_common(left: Sequence[int], right: Sequence[int], most: int) -> int:
    if left[:most] == right[:most]:
        return most
    return next(place for place in range(most) if left[place] != right[place])


def _parts(spans: list[Span], store: PageStore) -> Iterator[list[Span]]:
    """Cut the spans into slices: as many rows each, about as many pages each, not too many."""
    sizes = store.sizes
    budget = SLICE_NUMBERS.get(store.device.type, SLICE_NUMBERS["cuda"])
    page_numbers = sizes.page_size * sizes.num_heads * sizes.head_width
    part: list[Span] = []
    num_pages = 0
    for span in sorted(spans, key=lambda span: (span.length, sizes.pages(span.past))):
        # Ascending, so this one has the most pages so far, and all are padded to it.
        num_pages = sizes.pages(span.past + span.length)
        is_full = (len(part) + 1) * num_pages * page_numbers > budget
        if part and (is_full or part[0].length != span.length):
            yield part
            part = []
        part.append(span)
    if part:
        yield part


def _slice(spans: list[Span], store: PageStore) -> Slice:
    length = spans[0].length
    counts = [store.sizes.pages(span.past + span.length) for span in spans]
    table = np.empty((len(spans), max(counts)), dtype=np.int64)
    for row, (span, count) in enumerate(zip(spans, counts, strict=True)):
        table[row, :count] = span.pages[:count]
        # The mask hides the rest, but only a page of its own cannot hold what is no number.
        table[row, count:] = span.pages[0]
    return Slice(
        rows=_rows([span.start for span in spans], length, store.device),
        num_rows=length,
        page_BP=torch.from_numpy(table).to(store.device),
        past_B=torch.tensor([span.past for span in spans], device=store.device),
    )


def _rows(starts: list[int], length: int, device: torch.device) -> Rows:
    """Return the rows of spans of one length; a slice where they follow each other."""
    end = starts[0] + len(starts) * length
    if starts == list(range(starts[0], end, length)):
        return slice(starts[0], end)
    start_B = torch.tensor(starts, device=device)
    return (start_B[:, None] + torch.arange(length, device=device)).view(-1)

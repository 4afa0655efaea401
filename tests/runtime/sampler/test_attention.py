"""Attention over pages, against a plain computation of each sequence."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.sampler import layout
from mint_runtime.sampler.attention import PagedPlan
from mint_runtime.sampler.layout import Span
from mint_runtime.sampler.limits import Sizes
from mint_runtime.sampler.store import PageStore
from torch.nn import functional

PAGE, KEY_HEADS, HEADS, WIDTH, LAYERS = 4, 2, 6, 8, 2
# The same sums in another order.
TOLERANCE = 1e-5


def store(max_pages=64):
    sizes = Sizes(
        page_size=PAGE,
        max_pages=max_pages,
        max_rows=8,
        max_rows_per_request=8,
        max_step_tokens=64,
        num_layers=LAYERS,
        num_heads=KEY_HEADS,
        head_width=WIDTH,
    )
    made = PageStore(sizes, torch.device("cpu"), torch.float32)
    made.require(max_pages)
    # What nobody wrote must not matter, whatever it is.
    for tensor in (*made._keys, *made._values):
        tensor.fill_(1e4)
    return made


class Text:
    """Queries, keys and values of a whole sequence, and the pages it lies in."""

    def __init__(self, length, pages, seed):
        generator = torch.Generator().manual_seed(seed)
        self.q = torch.randn(length, HEADS, WIDTH, generator=generator)
        self.k = torch.randn(length, KEY_HEADS, WIDTH, generator=generator)
        self.v = torch.randn(length, KEY_HEADS, WIDTH, generator=generator)
        self.pages = pages

    def expected(self, start, end, scale, window):
        distance = torch.arange(start, end)[:, None] - torch.arange(len(self.k))
        is_seen = (distance >= 0) & (distance < (window or len(self.k) + 1))
        repeats = HEADS // KEY_HEADS
        out = functional.scaled_dot_product_attention(
            self.q[start:end].transpose(0, 1),
            self.k.transpose(0, 1).repeat_interleave(repeats, 0),
            self.v.transpose(0, 1).repeat_interleave(repeats, 0),
            attn_mask=is_seen,
            scale=scale,
        )
        return out.transpose(0, 1)


def run(pages, pieces, layer=1, scale=0.3, window=None):
    """Compute (text, start, end) pieces in one pass; return found and expected rows."""
    spans, row = [], 0
    for text, start, end in pieces:
        spans.append(Span(start=row, length=end - start, past=start, pages=text.pages))
        row += end - start
    packed = [
        torch.cat([getattr(text, name)[start:end] for text, start, end in pieces]) for name in "qkv"
    ]
    found = PagedPlan(pages, spans).attend(layer, *packed, scale=scale, window=window)
    expected = [text.expected(start, end, scale, window) for text, start, end in pieces]
    return found, torch.cat(expected)


def texts():
    return [
        Text(11, [7, 3, 9], seed=0),
        Text(23, [40, 41, 5, 6, 1, 0], seed=1),
        Text(1, [12], seed=2),
        Text(8, [20, 21], seed=3),
        Text(11, [30, 33, 31], seed=4),
    ]


@pytest.mark.parametrize("window", [None, 1, 3, 5, 100])
@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("slice_numbers", [1, 200, 2**20])
def test_every_kind_of_piece_equals_a_plain_computation(monkeypatch, window, layer, slice_numbers):
    monkeypatch.setitem(layout.SLICE_NUMBERS, "cpu", slice_numbers)
    pages = store()
    long, longer, single, even, other = texts()
    passes = [
        # Whole prompts next to each other, the first pieces of others, and a prompt of one token.
        [(long, 0, 10), (other, 0, 10), (single, 0, 1), (even, 0, 3), (longer, 0, 9)],
        # Single rows of some, further pieces of others: one within a page, one over several.
        [(longer, 9, 22), (long, 10, 11), (even, 3, 7), (other, 10, 11)],
        [(even, 7, 8), (longer, 22, 23)],
    ]

    for pieces in passes:
        found, expected = run(pages, pieces, layer=layer, window=window)
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_shared_page_serves_two_sequences():
    pages = store()
    first = Text(8, [2, 3], seed=0)
    second = Text(8, [2, 5], seed=1)
    second.k[:4], second.v[:4] = first.k[:4], first.v[:4]
    run(pages, [(first, 0, 4)])

    found, expected = run(pages, [(first, 4, 8), (second, 4, 8)])

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("window", [None, 5])
def test_sequences_that_begin_alike_read_their_common_pages_once(monkeypatch, window):
    monkeypatch.setattr(layout, "FAMILY_NUMBERS", 1)
    pages = store()
    # Three share 16 tokens, the last only 4 of them; a fifth nothing; the sixth is further on.
    members = [
        Text(length, list(numbers), seed)
        for seed, (length, numbers) in enumerate(
            [
                (19, [0, 1, 2, 3, 10]),
                (18, [0, 1, 2, 3, 11]),
                (17, [0, 1, 2, 3, 12]),
                (9, [0, 20, 21]),
                (6, [30, 31]),
                (22, [0, 1, 2, 3, 13, 14]),
            ]
        )
    ]
    for member in members[1:]:
        for place, page in enumerate(member.pages):
            if page in members[0].pages:
                rows = slice(place * PAGE, (place + 1) * PAGE)
                member.k[rows], member.v[rows] = members[0].k[rows], members[0].v[rows]
    for member in members:
        run(pages, [(member, 0, len(member.q) - 1)], window=window)
    pieces = [(member, len(member.q) - 1, len(member.q)) for member in members]
    spans = [
        Span(start=row, length=1, past=start, pages=text.pages)
        for row, (text, start, _) in enumerate(pieces)
    ]

    found, expected = run(pages, pieces, window=window)

    (family,), _ = layout.families(spans, pages)
    assert family.rows.tolist() == [0, 1, 2, 5]
    assert family.page_1P.tolist() == [[0, 1, 2, 3]]
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_sequence_at_the_end_of_the_common_pages_reads_its_own_row(monkeypatch):
    monkeypatch.setattr(layout, "FAMILY_NUMBERS", 1)
    pages = store()
    first, second = Text(9, [0, 1, 2], seed=0), Text(9, [0, 1, 3], seed=1)
    second.k[:8], second.v[:8] = first.k[:8], first.v[:8]
    run(pages, [(first, 0, 8)])

    found, expected = run(pages, [(first, 8, 9), (second, 8, 9)])

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_growing_keeps_what_pages_hold():
    pages = PageStore(store().sizes, torch.device("cpu"), torch.float32)
    pages.require(2)
    text = Text(8, [0, 63], seed=0)
    run(pages, [(text, 0, 4)])

    pages.require(64)

    found, expected = run(pages, [(text, 4, 8)])
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_copied_page_is_independent_of_its_source():
    pages = store()
    text = Text(4, [0], seed=0)
    run(pages, [(text, 0, 3)])

    pages.copy(0, 1)
    pages.write(
        1, torch.tensor([0]), torch.zeros(1, KEY_HEADS, WIDTH), torch.zeros(1, KEY_HEADS, WIDTH)
    )
    text.pages = [1]

    found, expected = run(pages, [(text, 3, 4)])
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)

"""One packed pass over pieces of many sequences: rows in, hidden states, logits and draws out.

Legend: N rows of the pass, n rows that a token is drawn from, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mint_runtime.model.adapter import Adapter
from mint_runtime.model.head import TargetLogprobs, logits, slice_rows, slices, top_logprobs
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan, LoraRows
from mint_runtime.sampler.attention import PagedPlan
from mint_runtime.sampler.layout import Span
from mint_runtime.sampler.logits import choose_tokens
from mint_runtime.sampler.sequence import Sequence
from mint_runtime.sampler.store import PageStore


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """The next `length` tokens of a sequence, whose pages have room for them."""

    sequence: Sequence
    length: int

    @property
    def is_last(self) -> bool:
        """Tell whether the next token can be drawn after this piece."""
        return self.length == self.sequence.num_pending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pass:
    """A pass that ran: its pieces in the order of their rows, and its last hidden states."""

    pieces: list[Piece]
    starts: list[int]
    hidden_ND: Tensor


def run(base: BaseModel, store: PageStore, pieces: Iterable[Piece]) -> Pass:
    """Compute the hidden states of the pieces; their keys and values are in the pages then."""
    ordered = _ordered(pieces)
    tokens: list[int] = []
    positions: list[int] = []
    spans, starts = [], []
    for piece in ordered:
        sequence, past = piece.sequence, piece.sequence.num_computed
        starts.append(len(tokens))
        spans.append(Span(start=len(tokens), length=piece.length, past=past, pages=sequence.pages))
        tokens += sequence.text[past : past + piece.length]
        positions += range(past, past + piece.length)
    plan = _lora_plan((piece.sequence.job.request.adapter, piece.length) for piece in ordered)
    with base.under(plan):
        hidden_ND = base.hidden(
            torch.tensor(tokens, device=base.device),
            torch.tensor(positions, device=base.device),
            PagedPlan(store, spans),
        )
    return Pass(pieces=ordered, starts=starts, hidden_ND=hidden_ND)


def read_prompt(base: BaseModel, done: Pass, number: int) -> None:
    """Add what piece `number` says about its prompt to the request's lists."""
    piece, start = done.pieces[number], done.starts[number]
    job, past = piece.sequence.job, piece.sequence.num_computed
    draw = job.request.draw
    targets = job.prompt[past + 1 : past + piece.length + 1]
    if not targets:
        return
    hidden_ND = done.hidden_ND[start : start + len(targets)]
    plan = LoraPlan.whole(job.request.adapter, len(targets))
    if draw.prompt_logprobs:
        target_N1 = torch.tensor(targets, device=base.device)[:, None]
        found = TargetLogprobs(base, hidden_ND, target_N1, plan, backward=False)
        job.prompt_logprobs += found.logp_NK[:, 0].tolist()
    if draw.num_top_prompt:
        ids, values = top_logprobs(base, hidden_ND, draw.num_top_prompt, plan)
        job.top_prompt += [
            list(zip(row_ids, row_values, strict=True))
            for row_ids, row_values in zip(ids.tolist(), values.tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A token for a sequence."""

    sequence: Sequence
    token: int
    logprob: float


def draw_tokens(
    base: BaseModel, done: Pass, wanted: list[tuple[int, list[Sequence]]]
) -> Iterator[Drawn]:
    """Draw a token for each sequence.

    Args:
        base: the model.
        done: the pass.
        wanted: numbers of pieces, ascending, each with the sequences that go on from its last row.
    """
    size = slice_rows(base)
    for part in slices(len(wanted), size):
        chosen = wanted[part]
        rows = [done.starts[number] + done.pieces[number].length - 1 for number, _ in chosen]
        plan = _lora_plan(
            (done.pieces[number].sequence.job.request.adapter, 1) for number, _ in chosen
        )
        if rows == list(range(len(done.hidden_ND))):
            hidden_nD = done.hidden_ND
        else:
            hidden_nD = done.hidden_ND[torch.tensor(rows, device=base.device)]
        logits_nV = logits(base, hidden_nD, plan)
        source = [row for row, (_, sequences) in enumerate(chosen) for _ in sequences]
        sequences = [sequence for _, group in chosen for sequence in group]
        if len(sequences) == len(chosen):
            yield from _choose(logits_nV, sequences)
            continue
        for some in slices(len(sequences), size):
            row_n = torch.tensor(source[some], device=base.device)
            yield from _choose(logits_nV[row_n], sequences[some])


def _choose(logits_nV: Tensor, sequences: list[Sequence]) -> Iterator[Drawn]:
    choices = [sequence.job.request.draw.choice for sequence in sequences]
    uniforms = [sequence.uniform() for sequence in sequences]
    tokens, logprobs = choose_tokens(logits_nV, choices, uniforms)
    for sequence, token, logprob in zip(sequences, tokens, logprobs, strict=True):
        yield Drawn(sequence=sequence, token=token, logprob=logprob)


def _ordered(pieces: Iterable[Piece]) -> list[Piece]:
    """Put the rows of one adapter together, and among them whole prompts."""
    numbers: dict[Adapter | None, int] = {}
    return sorted(
        pieces,
        key=lambda piece: (
            numbers.setdefault(piece.sequence.job.request.adapter, len(numbers)),
            piece.sequence.num_computed == 0 and piece.length > 1,
            piece.length,
        ),
    )


def _lora_plan(parts: Iterable[tuple[Adapter | None, int]]) -> LoraPlan:
    rows: list[LoraRows] = []
    start = 0
    for adapter, length in parts:
        end = start + length
        if adapter is not None:
            is_same = rows and rows[-1].adapter is adapter
            first = rows.pop().start if is_same else start
            rows.append(LoraRows(start=first, end=end, adapter=adapter))
        start = end
    return LoraPlan(rows)

"""From logits to one token per sequence: temperature, top-k, top-p, and the draw.

A draw inverts the cumulative distribution at a number that the sequence brings, so it depends on
nothing else in the batch. The sums are taken in two steps, over blocks of the vocabulary and then
inside one block, in double precision where it counts: a sum over a whole vocabulary in single
precision cannot resolve rare tokens, and one in double precision costs several times as much.

Legend: B sequences, V vocabulary, K blocks, W tokens of a block, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# Candidates tried for top-k and top-p before the whole vocabulary is sorted.
_CANDIDATES = (64, 1024)
_BLOCK = 64
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How one token is chosen."""

    temperature: float = 1.0
    """0 takes the most likely token."""
    top_k: int = -1
    """Keep this many tokens; 0 or less keeps all."""
    top_p: float = 1.0
    """Keep the most likely tokens that together reach this probability; 1 keeps all."""

    def cuts(self, vocab_size: int) -> bool:
        """Tell whether some token can never be drawn."""
        return self.temperature > 0 and (0 < self.top_k < vocab_size or self.top_p < 1)


def choose_tokens(
    logits_BV: Tensor, choices: Sequence[Choice], uniforms: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Return a token per sequence, and its log-probability.

    The log-probability is that of the temperature-scaled distribution before top-k and top-p cut
    it, because this is the probability importance sampling needs; at temperature 0 it is that of
    the unscaled distribution.

    Args:
        logits_BV: logits of the next token, float32; overwritten.
        choices: how to choose, by sequence.
        uniforms: one number in [0, 1) per sequence; it decides the draw.
    """
    if any(choice.temperature not in (0.0, 1.0) for choice in choices):
        scales = [max(choice.temperature or 1.0, _SMALLEST_SCALE) for choice in choices]
        # The best becomes 0 first, so that a tiny temperature cannot make it infinite.
        logits_BV -= logits_BV.amax(dim=1, keepdim=True)
        logits_BV /= torch.tensor(scales, device=logits_BV.device)[:, None]
    prob_BV = logits_BV.softmax(dim=1)
    vocab_size = logits_BV.shape[1]
    padded_BV = functional.pad(prob_BV, (0, -vocab_size % _BLOCK))
    prob_BKW = padded_BV.view(len(prob_BV), -1, _BLOCK)
    sum_BK = prob_BKW.sum(dim=2).double().cumsum(dim=1)
    uniform_B = torch.tensor(uniforms, dtype=torch.float64, device=logits_BV.device)
    token_B = _draw(prob_BKW, sum_BK, uniform_B)
    if cut := [row for row, choice in enumerate(choices) if choice.cuts(vocab_size)]:
        token_B = _draw_cut(prob_BV, sum_BK[:, -1], uniform_B, choices, cut, token_B)
    if greedy := [row for row, choice in enumerate(choices) if choice.temperature == 0]:
        row_b = torch.tensor(greedy, device=logits_BV.device)
        token_B[row_b] = logits_BV[row_b].argmax(dim=1)
    # Relative to the best token, whose probability is known best.
    chosen_B = logits_BV.gather(1, token_B[:, None])[:, 0]
    logp_B = chosen_B - logits_BV.amax(dim=1) + prob_BV.amax(dim=1).log()
    return token_B.tolist(), logp_B.tolist()


def _draw(prob_BKW: Tensor, sum_BK: Tensor, uniform_B: Tensor) -> Tensor:
    """Return the token where the cumulative distribution reaches the number."""
    block_B1, point_B1 = _invert(sum_BK, uniform_B)
    end_B1 = sum_BK.gather(1, block_B1)
    start_B1 = torch.where(block_B1 > 0, sum_BK.gather(1, (block_B1 - 1).clamp(min=0)), 0.0)
    width = prob_BKW.shape[2]
    inner_B1W = prob_BKW.gather(1, block_B1[:, :, None].expand(-1, -1, width))
    # Within the block the number is a share of it, so that rounding its sum moves nothing.
    share_B = ((point_B1 - start_B1) / (end_B1 - start_B1))[:, 0]
    place_B1, _ = _invert(inner_B1W[:, 0].double().cumsum(dim=1), share_B)
    return (block_B1 * width + place_B1)[:, 0]


def _invert(sum_BK: Tensor, share_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place whose sum exceeds a share of the total, and that share, `[B, 1]`.

    The place always has a weight above 0.
    """
    total_B1 = sum_BK[:, -1:]
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    point_B1 = torch.minimum(share_B[:, None] * total_B1, below_B1)
    place_B1 = torch.searchsorted(sum_BK, point_B1, right=True)
    # Only reached from logits that are not numbers.
    return place_B1.clamp(max=sum_BK.shape[1] - 1), point_B1


def _draw_cut(
    prob_BV: Tensor,
    total_B: Tensor,
    uniform_B: Tensor,
    choices: Sequence[Choice],
    rows: list[int],
    drawn_B: Tensor,
) -> Tensor:
    """Return `drawn_B` with the draws of `rows` made from what top-k and then top-p leave.

    How many candidates a row needs depends on that row alone, and so does its draw.
    """
    vocab_size = prob_BV.shape[1]
    for num_candidates in (*_CANDIDATES, vocab_size):
        if not rows or num_candidates > vocab_size:
            continue
        row_b = torch.tensor(rows, device=prob_BV.device)
        top = prob_BV[row_b].topk(num_candidates, dim=1)
        chosen = [choices[row] for row in rows]
        token_b, is_settled_b = _draw_candidates(
            top.values, top.indices, total_B[row_b], uniform_B[row_b], chosen, vocab_size
        )
        settled = is_settled_b.tolist()
        drawn_B[row_b] = torch.where(is_settled_b, token_b, drawn_B[row_b])
        rows = [row for row, is_settled in zip(rows, settled, strict=True) if not is_settled]
    return drawn_B


def _draw_candidates(
    prob_BC: Tensor,
    id_BC: Tensor,
    total_B: Tensor,
    uniform_B: Tensor,
    choices: Sequence[Choice],
    vocab_size: int,
) -> tuple[Tensor, Tensor]:
    """Draw from the likeliest tokens, best first; tell which rows need no more of them."""
    device = prob_BC.device
    num_candidates = prob_BC.shape[1]
    limits = [choice.top_k if choice.top_k > 0 else vocab_size for choice in choices]
    limit_B1 = torch.tensor(limits, device=device)[:, None]
    share_B1 = torch.tensor([choice.top_p for choice in choices], device=device).double()[:, None]
    is_kept_BC = torch.arange(num_candidates, device=device) < limit_B1
    kept_BC = torch.where(is_kept_BC, prob_BC.double(), 0.0)
    sum_BC = kept_BC.cumsum(dim=1)
    is_whole_B1 = limit_B1 <= num_candidates
    mass_B1 = torch.where(is_whole_B1, sum_BC[:, -1:], total_B[:, None])
    # A token stays when those before it do not reach top_p of what top-k left, so the first always
    # stays.
    before_BC = functional.pad(sum_BC[:, :-1], (1, 0))
    kept_BC = torch.where(before_BC < share_B1 * mass_B1, kept_BC, 0.0)
    place_B1, _ = _invert(kept_BC.cumsum(dim=1), uniform_B)
    has_no_limit_B1 = limit_B1 >= vocab_size
    is_reached_B1 = has_no_limit_B1 & (share_B1 < 1) & (sum_BC[:, -1:] >= share_B1 * mass_B1)
    is_settled_B1 = is_whole_B1 | is_reached_B1
    return id_BC.gather(1, place_B1)[:, 0], is_settled_B1[:, 0]

"""From logits to tokens."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.sampler.logits import choose_tokens

# Probabilities 0.5, 0.3, 0.15, 0.05.
LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def choose(uniform, *, temperature=1.0, top_k=-1, top_p=1.0, logits=LOGITS):
    points = torch.tensor(uniform, dtype=torch.float64)
    tokens, logprobs = choose_tokens(
        logits.expand(len(uniform), -1),
        points,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
    )
    return tokens.tolist(), logprobs.tolist()


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.49, 0), (0.51, 1), (0.79, 1), (0.81, 2), (0.96, 3)]
)
def test_draw_inverts_the_cumulative_distribution(uniform, token):
    assert choose([uniform])[0] == [token]


def test_frequencies_match_the_probabilities():
    points = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    tokens, _ = choose(points.tolist())

    counts = torch.bincount(torch.tensor(tokens), minlength=4) / len(points)
    # Four standard deviations of a frequency near 0.5 over 20000 draws.
    assert counts.tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.015)


def test_temperature_zero_takes_the_best_and_reports_the_unscaled_log_probability():
    tokens, logprobs = choose([0.99], temperature=0.0)

    assert tokens == [0]
    assert logprobs == pytest.approx([math.log(0.5)], abs=1e-6)


def test_reported_log_probability_is_that_of_the_scaled_distribution():
    tokens, logprobs = choose([0.0], temperature=0.5)

    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert tokens == [0]
    assert logprobs == pytest.approx([math.log(0.25 / sum(squares))], abs=1e-6)


@pytest.mark.parametrize("cut", [{"top_k": 2}, {"top_p": 0.75}], ids=["top-k", "top-p"])
def test_cut_tokens_are_never_drawn_and_probabilities_are_reported_before_the_cut(cut):
    tokens, logprobs = choose([0.62, 0.9999999], **cut)

    # 0.5 and 0.3 remain; 0.62 of their sum lies below 0.5.
    assert tokens == [0, 1]
    assert logprobs == pytest.approx([math.log(0.5), math.log(0.3)], abs=1e-6)


def test_top_p_keeps_the_token_that_crosses_the_limit():
    assert choose([0.9999999], top_p=0.51)[0] == [1]
    assert choose([0.9999999], top_p=0.49)[0] == [0]


def test_tiny_top_p_is_greedy():
    assert choose([0.9999999], top_p=1e-9)[0] == [0]


def test_top_p_applies_to_what_top_k_leaves():
    # Of 0.5 and 0.3, the first is 0.625 of the total, so 0.6 needs only it; 0.6 of all needs both.
    assert choose([0.9999999], top_k=2, top_p=0.6)[0] == [0]
    assert choose([0.9999999], top_p=0.6)[0] == [1]


@pytest.mark.parametrize("top_k", [-1, 0, 4, 1000])
def test_top_k_of_nothing_or_everything_cuts_nothing(top_k):
    assert choose([0.99], top_k=top_k)[0] == [3]


def test_impossible_tokens_are_never_drawn():
    logits = torch.tensor([-math.inf, 0.0, -math.inf])

    assert choose([0.0, 0.9999999999999999], logits=logits)[0] == [1, 1]


def test_rows_are_independent():
    logits = torch.stack([LOGITS, LOGITS.flip(0)])
    tokens, _ = choose_tokens(
        logits, torch.tensor([0.1, 0.9]).double(), temperature=1.0, top_k=1, top_p=1.0
    )

    assert tokens.tolist() == [0, 3]

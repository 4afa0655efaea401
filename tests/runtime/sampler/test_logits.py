"""From logits to tokens."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.sampler.logits import Choice, choose_tokens

# Probabilities 0.5, 0.3, 0.15, 0.05.
LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
ALMOST_ONE = 0.9999999999999999


def choose(uniforms, *, logits=LOGITS, **choice):
    rows = logits.expand(len(uniforms), -1).clone()
    return choose_tokens(rows, [Choice(**choice)] * len(uniforms), uniforms)


def random_logits(vocab_size, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(vocab_size, generator=generator) * spread


def uniforms(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64).tolist()


def batched(values, size):
    """Return the values in pieces that a cache holds together with their rows of logits."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def chi_square(tokens, prob_V):
    """Return the statistic over its degrees of freedom, rare tokens counted together."""
    counts = torch.bincount(torch.tensor(tokens), minlength=len(prob_V)).double()
    expected = prob_V.double() * len(tokens)
    is_common = expected >= 5
    counts = torch.cat([counts[is_common], counts[~is_common].sum()[None]])
    expected = torch.cat([expected[is_common], expected[~is_common].sum()[None]])
    is_possible = expected > 0
    assert counts[~is_possible].sum() == 0
    parts = (counts - expected)[is_possible] ** 2 / expected[is_possible]
    return float(parts.sum()) / (int(is_possible.sum()) - 1)


def nucleus(prob_V, top_k, top_p):
    """Return the distribution that top-k and then top-p leave, by a plain loop."""
    order = prob_V.argsort(descending=True).tolist()
    kept = order[:top_k] if top_k > 0 else order
    mass, chosen = sum(prob_V[token].item() for token in kept), []
    reached = 0.0
    for token in kept:
        if reached >= top_p * mass:
            break
        chosen.append(token)
        reached += prob_V[token].item()
    left_V = torch.zeros_like(prob_V)
    left_V[chosen] = prob_V[chosen]
    return left_V / left_V.sum()


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 0), (0.49, 0), (0.51, 1), (0.79, 1), (0.81, 2), (0.96, 3)]
)
def test_draw_inverts_the_cumulative_distribution(uniform, token):
    assert choose([uniform])[0] == [token]


@pytest.mark.parametrize("vocab_size", [100, 4096, 20_000])
def test_draw_in_blocks_is_the_draw_over_everything(vocab_size):
    logits = random_logits(vocab_size)
    points = uniforms(500)
    total_V = logits.double().softmax(dim=0).cumsum(dim=0)
    expected = torch.searchsorted(total_V, torch.tensor(points).double(), right=True)

    tokens, _ = choose(points, logits=logits)

    # Weights are single precision, so a point that close to an edge may fall on either side of it.
    point_N = torch.tensor(points, dtype=torch.float64)
    start_N = torch.where(expected > 0, total_V[expected - 1], 0.0)
    is_near_N = torch.minimum(point_N - start_N, total_V[expected] - point_N) < 1e-6
    assert is_near_N.double().mean() < 0.1
    assert torch.equal(torch.tensor(tokens)[~is_near_N], expected[~is_near_N])


# The statistic over its degrees of freedom has mean 1 and standard deviation sqrt(2 / degrees);
# with the 30 and more degrees here, 1.9 is over three standard deviations.
CHI_SQUARE_LIMIT = 1.9


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, -1, 1.0),
        (0.7, -1, 1.0),
        (2.5, -1, 1.0),
        (1.5, 40, 1.0),
        (1.5, -1, 0.9),
        (2.0, 300, 0.8),
    ],
)
@pytest.mark.parametrize("vocab_size", [500, 2000])
def test_frequencies_are_the_probabilities(vocab_size, temperature, top_k, top_p):
    logits = random_logits(vocab_size, seed=1, spread=1.5)
    expected_V = nucleus((logits / temperature).softmax(dim=0), top_k, top_p)

    tokens: list[int] = []
    for points in batched(uniforms(10_000, seed=2), 500):
        tokens += choose(points, logits=logits, temperature=temperature, top_k=top_k, top_p=top_p)[
            0
        ]

    assert int((expected_V > 0).sum()) > 30
    assert chi_square(tokens, expected_V) < CHI_SQUARE_LIMIT


def test_rare_tokens_are_told_apart():
    # All tokens but the first share 6e-6: a sum in single precision steps over several blocks.
    vocab_size = 2**14
    rest = 6e-6
    logits = torch.full((vocab_size,), math.log(rest / (vocab_size - 1)))
    logits[0] = math.log(1 - rest)
    block = rest * 64 / vocab_size
    points = [1 - rest / 2 + index * block for index in range(64)]

    tokens, _ = choose(points, logits=logits)

    assert len({token // 64 for token in tokens}) == 64
    assert tokens == sorted(tokens)


def test_log_probabilities_are_those_of_log_softmax():
    logits = random_logits(5000)

    tokens, logprobs = choose(uniforms(200), logits=logits, temperature=0.8)

    expected = (logits / 0.8).log_softmax(dim=0)[torch.tensor(tokens)]
    # A few roundings of numbers around 10 in single precision.
    torch.testing.assert_close(torch.tensor(logprobs), expected, atol=5e-6, rtol=0)


def test_temperature_zero_takes_the_best_and_reports_the_unscaled_log_probability():
    tokens, logprobs = choose([0.99], temperature=0.0)

    assert tokens == [0]
    assert logprobs == pytest.approx([math.log(0.5)], abs=1e-6)


def test_reported_log_probability_is_that_of_the_scaled_distribution():
    tokens, logprobs = choose([0.0], temperature=0.5)

    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert tokens == [0]
    assert logprobs == pytest.approx([math.log(0.25 / sum(squares))], abs=1e-6)


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 1e-300])
def test_tiny_temperature_is_greedy(temperature):
    assert choose([ALMOST_ONE], temperature=temperature) == ([0], [0.0])


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

    assert choose([0.0, ALMOST_ONE], logits=logits)[0] == [1, 1]


def test_blocks_without_a_possible_token_are_never_drawn():
    logits = torch.full((1000,), -math.inf)
    logits[500] = 0.0

    assert choose([0.0, 0.5, ALMOST_ONE], logits=logits)[0] == [500] * 3


def test_rows_follow_their_own_rules():
    choices = [
        Choice(),
        Choice(temperature=0.0),
        Choice(top_k=1),
        Choice(top_p=0.6),
        Choice(temperature=0.5),
    ]
    logits = torch.stack([LOGITS] * len(choices))
    points = [0.96] * len(choices)

    tokens, logprobs = choose_tokens(logits, choices, points)

    assert tokens == [3, 0, 0, 1, 2]
    alone = [choose_tokens(LOGITS[None].clone(), [choice], [0.96])[1][0] for choice in choices]
    assert logprobs == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("choice", [Choice(top_k=5), Choice(top_p=0.3), Choice(top_p=0.99)])
def test_a_cut_row_does_not_depend_on_other_rows(choice):
    logits = random_logits(5000)
    # The neighbour needs the whole vocabulary sorted, this row may not.
    both = torch.stack([logits, torch.zeros(5000)])
    points = uniforms(20)

    for point in points:
        alone = choose_tokens(logits[None].clone(), [choice], [point])
        together = choose_tokens(both.clone(), [choice, Choice(top_p=0.999)], [point, 0.5])
        assert together[0][0] == alone[0][0]

"""Random streams of sampled sequences."""

from __future__ import annotations

import torch
from mint_runtime.sampler.seeds import UniformStream, root_seed


def draws(seed, index=0, count=40):
    stream = UniformStream(seed, index)
    return [stream.next() for _ in range(count)]


def test_same_seed_gives_the_same_stream():
    assert draws(7, 3) == draws(7, 3)


def test_stream_is_that_of_single_draws():
    digest_seed = draws(7, 0, 1)[0]
    stream = UniformStream(7, 0)
    generator = stream._generator
    expected = [torch.rand(1, generator=generator, dtype=torch.float64).item() for _ in range(40)]

    assert expected[0] == digest_seed
    assert draws(7) == expected


def test_numbers_of_a_stream_differ_and_lie_between_0_and_1():
    numbers = draws(7, count=200)

    assert len(set(numbers)) == 200
    assert all(0 <= number < 1 for number in numbers)


def test_sequences_of_one_seed_differ():
    assert len({draws(7, index, 1)[0] for index in range(50)}) == 50


def test_neighbouring_seeds_share_no_stream():
    firsts = [{draws(seed, index, 1)[0] for index in range(10)} for seed in (7, 8)]

    assert not firsts[0] & firsts[1]


def test_without_seed_every_request_differs():
    assert root_seed(None) != root_seed(None)


def test_given_seed_is_used():
    assert root_seed(5) == 5


def test_negative_and_huge_seeds_are_accepted():
    assert draws(-1) != draws(2**80)


def test_global_random_state_is_untouched():
    state = torch.get_rng_state()

    draws(3)

    assert torch.equal(torch.get_rng_state(), state)

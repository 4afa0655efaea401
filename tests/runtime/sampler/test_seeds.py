"""Random streams of sampled sequences."""

from __future__ import annotations

import torch
from mint_runtime.sampler.seeds import sequence_generators, uniforms


def draws(seed, num_samples=3):
    return uniforms(sequence_generators(seed, num_samples)).tolist()


def test_same_seed_gives_the_same_streams():
    assert draws(7) == draws(7)


def test_sequences_of_one_seed_differ():
    assert len(set(draws(7, 50))) == 50


def test_a_stream_does_not_depend_on_how_many_there_are():
    assert draws(7, 2) == draws(7, 5)[:2]


def test_neighbouring_seeds_share_no_stream():
    assert not set(draws(7, 10)) & set(draws(8, 10))


def test_without_seed_every_call_differs():
    assert draws(None) != draws(None)


def test_negative_and_huge_seeds_are_accepted():
    assert draws(-1) != draws(2**80)


def test_global_random_state_is_untouched():
    state = torch.get_rng_state()

    draws(3)

    assert torch.equal(torch.get_rng_state(), state)

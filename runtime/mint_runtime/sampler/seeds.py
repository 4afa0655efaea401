"""Random streams: one per sampled sequence, independent of what else is sampled at the time."""

from __future__ import annotations

import hashlib
import secrets

import torch
from torch import Tensor

_SEED_BITS = 63


def sequence_generators(seed: int | None, num_samples: int) -> list[torch.Generator]:
    """Return one CPU generator per sequence; sequence i of a seeded request is derived from (seed,
    i).

    Seeds are hashed rather than added, so that sample 1 of seed 7 is not sample 0 of seed 8.
    """
    root = secrets.randbits(_SEED_BITS) if seed is None else seed
    generators = []
    for index in range(num_samples):
        digest = hashlib.blake2b(f"{root}:{index}".encode(), digest_size=8).digest()
        generator = torch.Generator()
        generator.manual_seed(int.from_bytes(digest, "big") >> (64 - _SEED_BITS))
        generators.append(generator)
    return generators


def uniforms(generators: list[torch.Generator]) -> Tensor:
    """Draw one number in [0, 1) from each stream, float64 `[B]`, on the CPU."""
    return torch.cat(
        [torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators]
    )

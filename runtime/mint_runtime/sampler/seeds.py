"""Random streams: one per sampled sequence, independent of what else is sampled at the time."""

from __future__ import annotations

import hashlib
import secrets

import torch

_SEED_BITS = 63
# Numbers drawn at a time; the stream is the same one by one.
_BLOCK = 32


class UniformStream:
    """Numbers in [0, 1) in double precision, from a generator of its own on the CPU."""

    def __init__(self, root: int, index: int) -> None:
        """Derive the stream of sequence `index` from the seed of its request.

        Seeds are hashed rather than added, so that sample 1 of seed 7 is not sample 0 of seed 8.
        """
        digest = hashlib.blake2b(f"{root}:{index}".encode(), digest_size=8).digest()
        self._generator = torch.Generator()
        self._generator.manual_seed(int.from_bytes(digest, "big") >> (64 - _SEED_BITS))
        self._block: list[float] = []

    def next(self) -> float:
        """Return the next number."""
        if not self._block:
            block = torch.rand(_BLOCK, generator=self._generator, dtype=torch.float64)
            self._block = block.tolist()[::-1]
        return self._block.pop()


def root_seed(seed: int | None) -> int:
    """Return the seed of a request, a fresh one when it gives none."""
    return secrets.randbits(_SEED_BITS) if seed is None else seed

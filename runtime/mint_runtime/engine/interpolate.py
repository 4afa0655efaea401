"""Weighted sums of adapters: what is mixed are the updates, not their factors.

The update of an adapter is `scaling * B A`. Half of one adapter and half of another, mixed factor
by factor, would also mix the B of the one with the A of the other, which neither was trained for.
Here the factors are laid side by side, so the sum is exact as long as the ranks add up to no more
than what is allowed; beyond that each layer keeps its largest singular values, which is the best
approximation of that rank (Eckart and Young 1936).

Legend: R rank of one adapter, K rank of the factors side by side, I inputs, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mint_runtime.errors import UserError
from mint_runtime.model.adapter import LORA_ALPHA, Adapter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """A sum of adapters as one adapter."""

    adapter: Adapter
    relative_error: float
    """Norm of what the limit on the rank cut off over the norm of the whole sum; 0 if nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Factors:
    """Float64 factors of one layer's summed update, scaling included."""

    a_KI: Tensor
    b_OK: Tensor

    @property
    def rank(self) -> int:
        return self.a_KI.shape[0]


def interpolate(
    adapters: Sequence[Adapter], coefficients: Sequence[float], *, max_rank: int
) -> Mixture:
    """Return one adapter whose update is `sum_i coefficient_i * update_i` in every layer.

    Ranks, scalings and layers may differ; where an adapter has no matrices its update is zero. The
    result lives on the CPU, takes no gradient and lists its layers in the order they are met; its
    rank is the largest that a layer needs, and at most `max_rank`. Layers that need less are filled
    with zeros.

    Args:
        adapters: adapters of one base model, at least one.
        coefficients: one finite number for each; they need not sum to 1.
        max_rank: R of the result at most.

    Raises:
        UserError: the coefficients do not fit, an adapter holds what is no number, or two adapters
            disagree about the size of a layer.
    """
    _check(adapters, coefficients)
    names = dict.fromkeys(name for adapter in adapters for name in adapter.pairs)
    sums = {name: _side_by_side(name, adapters, coefficients) for name in names}
    rank = min(max_rank, max(factors.rank for factors in sums.values()))
    kept = {name: _cut(factors, rank) for name, factors in sums.items()}
    scaling = LORA_ALPHA / rank
    matrices = {name: _matrices(factors, rank, scaling) for name, factors in kept.items()}
    return Mixture(
        adapter=Adapter.of(matrices, rank=rank, alpha=LORA_ALPHA),
        relative_error=_relative_error(list(sums.values()), list(kept.values())),
    )


def _check(adapters: Sequence[Adapter], coefficients: Sequence[float]) -> None:
    if not adapters:
        raise UserError("there is no checkpoint to interpolate; name at least one")
    if len(adapters) != len(coefficients):
        raise UserError(
            f"{len(adapters)} checkpoints and {len(coefficients)} coefficients do not go together; "
            "give one coefficient for each checkpoint"
        )
    for place, adapter in enumerate(adapters):
        if not adapter.flat_P.isfinite().all():
            raise UserError(
                f"checkpoint {place} of those to interpolate holds numbers that are not finite: "
                "its training has diverged; leave it out"
            )
    for coefficient in coefficients:
        if not math.isfinite(coefficient):
            raise UserError(f"coefficient {coefficient} is not a finite number")


def _side_by_side(
    name: str, adapters: Sequence[Adapter], coefficients: Sequence[float]
) -> _Factors:
    """Stack the factors of every adapter that covers the layer along the rank."""
    parts = [
        (adapter.pairs[name], coefficient * adapter.scaling)
        for adapter, coefficient in zip(adapters, coefficients, strict=True)
        if name in adapter.pairs
    ]
    sizes = {(pair.b_OR.shape[0], pair.a_RI.shape[1]) for pair, _ in parts}
    if len(sizes) > 1:
        raise UserError(
            f"the checkpoints disagree about the size of `{name}` "
            f"({' and '.join(str(list(size)) for size in sorted(sizes))}); "
            "only adapters of one base model can be interpolated"
        )
    return _Factors(
        a_KI=torch.cat([_wide(pair.a_RI) for pair, _ in parts]),
        b_OK=torch.cat([factor * _wide(pair.b_OR) for pair, factor in parts], dim=1),
    )


def _wide(matrix: Tensor) -> Tensor:
    return matrix.detach().to("cpu", torch.float64)


def _cut(factors: _Factors, rank: int) -> _Factors:
    """Return the best factors of at most `rank`: these, or their largest singular values."""
    if factors.rank <= rank:
        return factors
    # The singular values of B A are those of the small product of the triangles: Q keeps lengths.
    q_b, r_b = torch.linalg.qr(factors.b_OK)
    q_a, r_a = torch.linalg.qr(factors.a_KI.T)
    u, s, v = torch.linalg.svd(r_b @ r_a.T, full_matrices=False)
    root = s[:rank].sqrt()
    return _Factors(
        a_KI=root[:, None] * (v[:rank] @ q_a.T),
        b_OK=(q_b @ u[:, :rank]) * root,
    )


def _matrices(factors: _Factors, rank: int, scaling: float) -> tuple[Tensor, Tensor]:
    missing = rank - factors.rank
    a_RI = functional.pad(factors.a_KI, (0, 0, 0, missing))
    return a_RI, functional.pad(factors.b_OK / scaling, (0, missing))


def _relative_error(wholes: Sequence[_Factors], kept: Sequence[_Factors]) -> float:
    """Return the error of all layers taken as one long vector."""
    lost = total = 0.0
    for whole, part in zip(wholes, kept, strict=True):
        norm = _square_norm(whole)
        total += norm
        # What is kept and what is cut off are orthogonal, so their squares add up to the whole.
        lost += 0.0 if part is whole else max(0.0, norm - _square_norm(part))
    return math.sqrt(lost / total) if total else 0.0


def _square_norm(factors: _Factors) -> float:
    """Return the squared Frobenius norm of `B A` without making it: trace((B'B)(AA'))."""
    inner = factors.b_OK.T @ factors.b_OK
    outer = factors.a_KI @ factors.a_KI.T
    return float((inner * outer).sum())

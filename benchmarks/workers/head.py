"""Log-probabilities of given tokens and the gradient of their input, made in different ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from benchmarks.processes import answer_calls, forget_peak, peak_resident_bytes, resident_bytes

_CHUNK_ROWS = 512
_base: Any = None
_hidden_ND = torch.empty(0)
_target_N = torch.empty(0)


def load(folder: str, num_tokens: int, device: str, dtype: str) -> None:
    """Load the output layer of the model in `folder` and draw hidden states and targets."""
    global _base, _hidden_ND, _target_N
    from mint_runtime.model.load import load_base_model

    _base = load_base_model("base", folder, device=device, dtype=dtype)
    width = _base.unembedding.weight.shape[1]
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(num_tokens, width, generator=generator)
    _hidden_ND = hidden.to(device, getattr(torch, dtype))
    _target_N = torch.randint(_base.vocab_size, (num_tokens,), generator=generator).to(device)


def ours() -> tuple[Tensor, Tensor]:
    """Run the engine's output layer."""
    from mint_runtime.model.head import TargetLogprobs
    from mint_runtime.model.lora import LoraPlan

    logprobs = TargetLogprobs(_base, _hidden_ND, _target_N[:, None], LoraPlan(()))
    gradient = torch.full_like(logprobs.logp_NK, -1.0)
    return logprobs.logp_NK[:, 0], logprobs.backward(gradient)


def materialized() -> tuple[Tensor, Tensor]:
    """Make all logits, and let autograd keep what it wants."""
    hidden = _hidden_ND.detach().requires_grad_()
    logp = _logprobs(hidden, _target_N)
    torch.autograd.backward([logp.sum().neg()])
    assert hidden.grad is not None
    return logp.detach(), hidden.grad


def chunked() -> tuple[Tensor, Tensor]:
    """Make logits chunk by chunk, recomputed for the gradient by torch's checkpoint."""
    hidden = _hidden_ND.detach().requires_grad_()
    parts = [
        checkpoint(_logprobs, rows, targets, use_reentrant=False)
        for rows, targets in zip(
            torch.split(hidden, _CHUNK_ROWS), torch.split(_target_N, _CHUNK_ROWS), strict=True
        )
    ]
    logp = torch.cat(parts)
    torch.autograd.backward([logp.sum().neg()])
    assert hidden.grad is not None
    return logp.detach(), hidden.grad


def _logprobs(hidden_ND: Tensor, target_N: Tensor) -> Tensor:
    logits_NV = functional.linear(hidden_ND, _base.unembedding.weight).float()
    return torch.log_softmax(logits_NV, dim=-1).gather(1, target_N[:, None])[:, 0]


WAYS: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    way.__name__: way for way in (ours, materialized, chunked)
}


def run(way: str) -> dict[str, float]:
    """Return the seconds and the peak memory, beyond what was there, of one way."""
    is_cpu = _hidden_ND.device.type == "cpu"
    before = _reset_peak(is_cpu)
    start = time.perf_counter()
    WAYS[way]()
    if not is_cpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = peak_resident_bytes() if is_cpu else torch.cuda.max_memory_allocated()
    return {"seconds": seconds, "peak_bytes": peak - before}


def _reset_peak(is_cpu: bool) -> int:
    if is_cpu:
        import os

        forget_peak()
        return resident_bytes(os.getpid())
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def difference(way: str) -> dict[str, float]:
    """Return how far a way is from `materialized`: log-probabilities and gradient."""
    found, expected = WAYS[way](), materialized()
    return {
        name: float((mine - theirs).abs().max() / theirs.abs().max())
        for name, mine, theirs in zip(("logp", "gradient"), found, expected, strict=True)
    }


def main() -> None:
    """Answer calls until standard input ends."""
    answer_calls({method.__name__: method for method in (load, run, difference)})


if __name__ == "__main__":
    main()

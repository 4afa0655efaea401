"""transformers and peft without a server: the loop and the `generate` call people write.

Training pads each micro-batch to its longest sequence, in the order of the data, and makes the
logits of all of it. Sampling pads prompts on the left and draws every sequence to the longest
output.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.processes import answer_calls
from benchmarks.workloads import prompt_arrays, sample_work, train_arrays, train_work

_LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Loop:
    """A model with an adapter, its optimizer, and the prepared data."""

    def __init__(self, folder: str, rank: int, device: str, dtype: str) -> None:
        """Load the base model and add an adapter to every linear layer of its decoder."""
        base: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        config = LoraConfig(r=rank, lora_alpha=32, target_modules=_LINEARS)
        self.model: Any = get_peft_model(base.to(device), config)
        self.device = device
        trained = [each for each in self.model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
        self.loss_fn = ""
        self.batches: list[dict[str, Tensor]] = []


_loop: Loop | None = None


def _now() -> Loop:
    assert _loop is not None, "`load` comes first"
    return _loop


def load(folder: str, rank: int, device: str, dtype: str) -> None:
    """Load the model in `folder`."""
    global _loop
    _loop = Loop(folder, rank, device, dtype)


def prepare(work: Mapping[str, Any], micro_batch: int) -> None:
    """Build padded micro-batches of at most `micro_batch` sequences."""
    loop, wanted = _now(), train_work(work)
    data = train_arrays(wanted)
    loop.loss_fn = wanted.loss_fn
    loop.batches = [
        _padded(data[start : start + micro_batch], loop.device)
        for start in range(0, len(data), micro_batch)
    ]


def _padded(data: list[dict[str, Any]], device: str) -> dict[str, Tensor]:
    longest = max(len(datum["tokens"]) for datum in data)
    batch = {}
    for name in data[0]:
        rows = [np.pad(datum[name], (0, longest - len(datum[name]))) for datum in data]
        batch[name] = torch.from_numpy(np.stack(rows)).to(device)
    lengths = torch.tensor([len(datum["tokens"]) for datum in data])
    batch["mask"] = (torch.arange(longest)[None] < lengths[:, None]).long().to(device)
    return batch


def train_step() -> float:
    """Accumulate the gradient of all micro-batches, take an optimizer step; return the seconds."""
    loop = _now()
    start = time.perf_counter()
    results = []
    for batch in loop.batches:
        logits = loop.model(input_ids=batch["tokens"], attention_mask=batch["mask"]).logits
        logp = torch.log_softmax(logits.float(), dim=-1)
        logp = logp.gather(-1, batch["target_tokens"][..., None])[..., 0]
        torch.autograd.backward([_loss(loop.loss_fn, logp, batch)])
        results.append(logp.detach())
    loop.optimizer.step()
    loop.optimizer.zero_grad()
    # A server's client gets the log-probabilities; reading them also ends the work of a GPU.
    for logp in results:
        logp.cpu().numpy()
    return time.perf_counter() - start


def _loss(loss_fn: str, logp: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    if loss_fn == "cross_entropy":
        return -(logp * batch["weights"]).sum()
    return -((logp - batch["logprobs"]).exp() * batch["advantages"]).sum()


@torch.inference_mode()
def sample(work: Mapping[str, Any]) -> dict[str, float]:
    """Continue all prompts as one batch, with log-probabilities; return seconds and tokens."""
    loop, wanted = _now(), sample_work(work)
    prompts = [each for each in prompt_arrays(wanted) for _ in range(wanted.num_samples)]
    longest = max(len(each) for each in prompts)
    tokens = np.stack([np.pad(each, (longest - len(each), 0)) for each in prompts])
    mask = np.stack([np.arange(longest) >= longest - len(each) for each in prompts])
    start = time.perf_counter()
    drawn = loop.model.generate(
        input_ids=torch.from_numpy(tokens).to(loop.device),
        attention_mask=torch.from_numpy(mask.astype(np.int64)).to(loop.device),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max(wanted.outputs),
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_logits=True,
    )
    _logprobs(drawn).cpu()
    return {"seconds": time.perf_counter() - start, "tokens": wanted.num_tokens}


def _logprobs(drawn: Any) -> Tensor:
    """Return the log-probability of every drawn token, `[sequences, steps]`."""
    chosen = drawn.sequences[:, -len(drawn.logits) :]
    columns = [
        torch.log_softmax(logits.float(), dim=-1).gather(1, chosen[:, [step]])
        for step, logits in enumerate(drawn.logits)
    ]
    return torch.cat(columns, dim=1)


def main() -> None:
    """Answer calls until standard input ends."""
    methods = (load, prepare, train_step, sample)
    answer_calls({method.__name__: method for method in methods})


if __name__ == "__main__":
    main()

"""Train with OpenRLHF's own entries on given rows, `train_sft`, `train_dpo` and `train_kto`.

    python openrlhf_rows.py CASES.json FOLDER

Runs in the test suite's own Python, with the packages of one of the environments `openrlhf`, `_0_9`
and `_0_6` behind its own. Each case has a `program`, its `flags` and the number of processes in its
`world`, 1 or 2; the entry runs as a launcher would start it, its processes talk through gloo.

FOLDER gets `<index>.npz` for each case: the `gradients` `[steps, rows, vocabulary]`, mean over
processes, `losses` and `rates` of each optimizer step, and the losses of its evaluations
(`eval_steps`, `eval_losses`).

Three things stand in. The model is a table: the logits behind a token depend on nothing else, so
the gradient says of each pair of neighbors what it counted. DeepSpeed's engine is a class that
accumulates and averages and moves no weight. Of what only GPUs have, tensors that unpack padded
rows are the ones of transformers, and nothing else is reached.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from openrlhf_math import OLDEST, RELEASE, Absent, keep_on_cpu
from torch import distributed

ROWS = 97
"""Of the table; tokens share them."""


def table(seed: int, vocabulary: int) -> torch.Tensor:
    """Return the logits of a model, `[rows, vocabulary]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, vocabulary, generator=generator)


class Table(torch.nn.Module):
    """A model whose logits are a row of its table."""

    def __init__(self, config: Any, seed: int) -> None:
        """Fill the table."""
        super().__init__()
        self.config = config
        self.weight = torch.nn.Parameter(table(seed, config.vocab_size))

    def forward(self, input_ids: torch.Tensor, **options: Any) -> Any:
        """Return the logits behind each token, `[B, T, V]`."""
        from transformers.modeling_outputs import CausalLMOutput

        return CausalLMOutput(logits=self.weight[input_ids % ROWS])


class Recorder:
    """What a case leaves behind."""

    def __init__(self) -> None:
        """Begin empty."""
        self.models = 0
        self.gradients: list[np.ndarray] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.evaluations: list[tuple[int, float]] = []
        self.adam: dict[str, float] = {}

    def save(self, path: Path) -> None:
        """Write the record."""
        np.savez(
            path,
            gradients=np.array(self.gradients),
            losses=np.array(self.losses),
            rates=np.array(self.rates),
            eval_steps=np.array([step for step, _ in self.evaluations]),
            eval_losses=np.array([loss for _, loss in self.evaluations]),
            **self.adam,
        )


RECORD = Recorder()


def mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes."""
    value = value.detach().clone() / distributed.get_world_size()
    distributed.all_reduce(value)
    return value


class Engine(torch.nn.Module):
    """DeepSpeed's engine, without moving a weight."""

    def __init__(self, module: torch.nn.Module, config: dict[str, Any]) -> None:
        """Count what one optimizer step accumulates."""
        world = distributed.get_world_size()
        size = config["train_micro_batch_size_per_gpu"] * world
        assert config["train_batch_size"] % size == 0
        super().__init__()
        self.module = module
        self.accumulated = config["train_batch_size"] // size
        self.scheduler: Any = None
        self.micro_steps = 0
        self.global_steps = 0
        self.loss = torch.zeros(())

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Call the model."""
        return self.module(*arguments, **options)

    def backward(self, loss: torch.Tensor) -> None:
        """Add the gradient of a micro-batch."""
        share = loss / self.accumulated
        share.backward()
        self.loss = self.loss + share.detach()

    def step(self) -> None:
        """End a micro-batch, and a step where it was the last one."""
        self.micro_steps += 1
        if self.micro_steps % self.accumulated:
            return
        self.global_steps += 1
        RECORD.gradients.append(mean(self.module.weight.grad).numpy())
        RECORD.losses.append(mean(self.loss).item())
        RECORD.rates.append(self.scheduler.get_last_lr()[0])
        self.module.weight.grad = None
        self.loss = torch.zeros(())
        self.scheduler.step()

    def get_global_grad_norm(self) -> None:
        """Return nothing, as before a first step."""


def initialize(**given: Any) -> tuple[Any, ...]:
    """Return what `deepspeed.initialize` returns."""
    engine, config = Engine(given["model"], given["config"]), given["config"]
    optimizer, scheduler = given.get("optimizer"), given.get("lr_scheduler")
    if "optimizer" in config:
        optimizer = torch.optim.AdamW(given["model_parameters"], **config["optimizer"]["params"])
        scheduler = scheduler(optimizer)
    if optimizer is not None:
        engine.scheduler = scheduler
        group = optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        RECORD.adam = {
            "beta1": beta1,
            "beta2": beta2,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
            "grad_clip_norm": config["gradient_clipping"],
        }
    return engine, optimizer, None, scheduler


class Writer:
    """Keeps the losses of evaluations; stands in for TensorBoard."""

    def __init__(self, **options: Any) -> None:
        """Take any folder."""

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Record a loss of held-out rows."""
        if name in {"eval/eval gpt_loss", "eval/eval_loss"}:
            RECORD.evaluations.append((step, value))

    def close(self) -> None:
        """End."""


class Missing(Absent):
    """Finds what is not installed, but not the kernels, without which others are chosen."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return a spec for what is imported by name alone."""
        return None if name.startswith("flash_attn.ops") else super().find_spec(name, path, target)


def stand_in() -> None:
    """Put what stands in where OpenRLHF finds it."""
    sys.meta_path.append(Missing())
    keep_on_cpu()
    torch.cuda.current_device = lambda: "cpu"  # type: ignore[assignment,return-value]
    boards, loaders = ModuleType("boards"), ModuleType("loaders")
    boards.__dict__["SummaryWriter"] = Writer
    sys.modules["torch.utils.tensorboard"] = boards
    loaders.__dict__["StatefulDataLoader"] = torch.utils.data.DataLoader
    sys.modules["torchdata.stateful_dataloader"] = loaders
    import deepspeed
    import deepspeed.ops.adam
    import transformers
    from torch.distributed import device_mesh

    # `train_kto` of 0.6.4 asks for an option that it does not have, and ends there.
    if RELEASE == OLDEST:
        argparse.Namespace.use_ms = False  # type: ignore[attr-defined]
    deepspeed.initialize = initialize
    deepspeed.init_distributed = lambda timeout: None
    deepspeed.ops.adam.FusedAdam = torch.optim.AdamW
    plain = device_mesh.init_device_mesh
    device_mesh.init_device_mesh = lambda kind, *rest, **more: plain("cpu", *rest, **more)
    transformers.AutoModelForCausalLM.from_pretrained = next_model
    unpack()
    map_here()
    from openrlhf.utils.deepspeed import DeepspeedStrategy

    DeepspeedStrategy.save_model = lambda *arguments, **options: None


def next_model(name: str, **options: Any) -> Table:
    """Return a model: the policy, then the reference."""
    from transformers import AutoConfig

    RECORD.models += 1
    return Table(AutoConfig.from_pretrained(name), seed=RECORD.models)


def unpack() -> None:
    """Give `flash_attn.bert_padding` what transformers has of it."""
    import flash_attn.bert_padding as padding
    from transformers import modeling_flash_attention_utils as utils

    padding.unpad_input = utils._unpad_input
    padding.pad_input = utils._pad_input
    padding.index_first_axis = lambda rows, indices: rows[indices]

    def rearrange(rows: torch.Tensor, pattern: str, **sizes: int) -> torch.Tensor:
        assert pattern == "b s ... -> (b s) ...", pattern
        return rows.flatten(0, 1)

    padding.rearrange = rearrange


def map_here() -> None:
    """Let rows be read by this process, not by eight of its own."""
    import datasets

    plain = datasets.Dataset.map

    def mapped(rows: Any, function: Any, *, num_proc: int, **options: Any) -> Any:
        return plain(rows, function, **options)

    datasets.Dataset.map = mapped


def run(case: dict[str, Any], rank: int, folder: Path, number: int) -> None:
    """Run one case in this process, and write its record from the first one."""
    global RECORD
    RECORD = Recorder()
    store = distributed.FileStore(str(folder / f"{number}.store"), case["world"])
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=case["world"])
    sys.argv = [case["program"], *case["flags"]]
    runpy.run_module(f"openrlhf.cli.{case['program']}", run_name="__main__")
    if rank == 0:
        RECORD.save(folder / f"{number}.npz")
    distributed.barrier()
    distributed.destroy_process_group()


def main() -> None:
    """Read the arguments and run every case, in two processes where it has two."""
    cases, target = sys.argv[1:]
    os.environ["LOCAL_RANK"] = "-1"
    stand_in()
    second = os.fork()
    rank = 0 if second else 1
    with open(cases, encoding="utf-8") as file:
        for number, case in enumerate(json.load(file)):
            if rank < case["world"]:
                run(case, rank, Path(target), number)
    if second:
        _, status = os.waitpid(second, 0)
        sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()

"""Train with verl's own supervised trainer; runs in the environment `verl`.

    python verl_sft.py MODEL CASES.json FOLDER

MODEL is a folder with a tokenizer and a configuration. A case is a list of overrides of the
trainer's configuration. Its data sets, samplers, loaders, loop, loss and schedule are verl's.
FOLDER gets `<index>.npz` with the `gradients` `[steps, rows, vocabulary]`, `losses` and `rates` of
each optimizer step, `eval_steps` and `eval_losses` of its validations, and what its optimizer is
given.

What a GPU does stands aside: the model is a table, whose logits behind a token depend on nothing
else, and a worker passes the micro-batches that verl makes to verl's loss and moves no weight.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import datasets  # noqa: F401
import numpy as np
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from torch import distributed
from transformers import AutoConfig, AutoTokenizer

# verl imports the library for images by name; datasets looks whether it is there.
PICTURES = ModuleType("PIL")
PICTURES.__dict__["Image"] = SimpleNamespace(Image=object)
sys.modules["PIL"] = PICTURES
# The module of workers imports servers for sampling.
WORKERS = ModuleType("verl.workers.engine_workers")
WORKERS.__dict__["TrainingWorker"] = object
sys.modules["verl.workers.engine_workers"] = WORKERS

from verl.trainer import sft_trainer  # noqa: E402
from verl.utils import tensordict_utils  # noqa: E402
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine  # noqa: E402
from verl.workers.engine.utils import prepare_micro_batches  # noqa: E402
from verl.workers.utils.losses import sft_loss  # noqa: E402

ROWS = 97
"""Of the table; tokens share them."""


class Worker:
    """The part of a training worker that looks at data; records what each step comes to."""

    def __init__(self, vocabulary: int) -> None:
        """Fill the table."""
        generator = torch.Generator().manual_seed(1)
        self.weight = torch.randn(ROWS, vocabulary, generator=generator).requires_grad_()
        self.optimizer = torch.optim.AdamW([self.weight], lr=1.0)
        self.scheduler: Any = None
        self.gradients: list[np.ndarray] = []
        self.losses: list[float] = []
        self.rates: list[float] = []

    def reset(self) -> None:
        """Do nothing."""

    def step_profile(self) -> None:
        """Do nothing."""

    def train_batch(self, data: Any) -> Any:
        """Record a step: its gradient, its loss and the rate that the schedule has for it."""
        total = self._loss(data)
        assert self.weight.grad is not None
        self.gradients.append(self.weight.grad.numpy())
        self.weight.grad = None
        self.losses.append(total)
        self.rates.append(self.scheduler.get_last_lr()[0])
        self.scheduler.step()
        return measured(total)

    def infer_batch(self, data: Any) -> Any:
        """Return the loss of a batch."""
        total = self._loss(data)
        self.weight.grad = None
        return measured(total)

    def _loss(self, data: Any) -> float:
        """Return the sum of the losses of all micro-batches; adds their gradients."""
        tokens = data["loss_mask"].sum().item()
        tensordict_utils.assign_non_tensor(data, sp_size=1, batch_num_tokens=tokens, dp_size=1)
        total = 0.0
        for part in prepare_micro_batches(data=data, dp_group=None, same_micro_num_in_dp=True)[0]:
            loss, _ = sft_loss(None, {"log_probs": self._logprobs(part["input_ids"])}, part)
            loss.backward()
            total += loss.item()
        return total

    def _logprobs(self, tokens: Any) -> Any:
        """Return for each token the log-probability of the next one, in the shape of *tokens*."""
        values = tokens.values() if tokens.is_nested else tokens.flatten()
        targets = torch.roll(values, -1)
        logits = torch.log_softmax(self.weight[values % ROWS], -1)
        chosen = logits.gather(-1, targets[:, None])[:, 0]
        if tokens.is_nested:
            return torch.nested.nested_tensor_from_jagged(chosen, tokens.offsets())
        return chosen.view(tokens.shape)


def measured(loss: float) -> Any:
    """Return what a worker answers."""
    return tensordict_utils.get_tensordict({}, non_tensor_dict={"metrics": {"loss": loss}})


def make_trainer(config: DictConfig, model: str, worker: Worker) -> Any:
    """Return verl's trainer with its data, and a worker instead of a model."""
    trainer = object.__new__(sft_trainer.SFTTrainer)
    trainer.config = config
    trainer.rank = 0
    trainer.device_name = "cpu"
    trainer.resume_global_step = 0
    trainer.start_profile_step = trainer.end_profile_step = -1
    trainer.optimizer_config = SimpleNamespace()
    trainer.training_client = worker
    trainer.ckpt_handler = SimpleNamespace(save_checkpoint=lambda step: None)
    trainer.model_config = SimpleNamespace(
        tokenizer=AutoTokenizer.from_pretrained(model), processor=None
    )
    trainer.engine = SimpleNamespace(
        get_data_parallel_rank=lambda: 0,
        get_data_parallel_size=lambda: 1,
        get_data_parallel_group=lambda: None,
        is_mp_src_rank_with_outputs=lambda: True,
    )
    trainer._build_dataset()
    trainer._build_dataloader()
    trainer._init_engine()
    optimizer = OmegaConf.merge(config.optim, vars(trainer.optimizer_config))
    engine = SimpleNamespace(optimizer_config=optimizer, rank=1)
    worker.optimizer.param_groups[0]["lr"] = config.optim.lr
    worker.scheduler = FSDPEngine._build_lr_scheduler(engine, worker.optimizer)
    return trainer


def run(overrides: list[str], model: str, path: Path) -> None:
    """Train one case and write its record."""
    config = compose("sft_trainer_engine", overrides=overrides)
    worker = Worker(AutoConfig.from_pretrained(model).vocab_size)
    evaluations: list[tuple[int, float]] = []

    class Tracking:
        def __init__(self, **options: Any) -> None:
            """Take any backend."""

        def log(self, data: dict[str, Any], step: int) -> None:
            if "val/loss" in data:
                evaluations.append((step, data["val/loss"]))

    sft_trainer.Tracking = Tracking
    sft_trainer.log_gpu_memory_usage = lambda *words, **options: None
    sft_trainer.aggressive_empty_cache = lambda **options: None
    make_trainer(config, model, worker).fit()
    beta1, beta2 = config.optim.betas
    np.savez(
        path,
        gradients=np.array(worker.gradients),
        losses=np.array(worker.losses),
        rates=np.array(worker.rates),
        eval_steps=np.array([step for step, _ in evaluations]),
        eval_losses=np.array([loss for _, loss in evaluations]),
        beta1=beta1,
        beta2=beta2,
        eps=1e-8,
        weight_decay=config.optim.weight_decay,
        grad_clip_norm=config.optim.clip_grad,
    )


def main() -> None:
    """Read the arguments and run every case."""
    model, cases, target = sys.argv[1:]
    os.environ.setdefault("RANK", "0")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    given = json.loads(Path(cases).read_text(encoding="utf-8"))
    with initialize_config_module("verl.trainer.config", version_base=None):
        for number, case in enumerate(given):
            run(case, model, Path(target) / f"{number}.npz")


if __name__ == "__main__":
    main()

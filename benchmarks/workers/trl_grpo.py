"""TRL's GRPOTrainer with peft, one optimizer step for each call."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset  # type: ignore[import-untyped]  # no hints upstream
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from benchmarks.processes import answer_calls
from benchmarks.workloads import prompt_arrays, sample_work

_LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class _StepByStep(TrainerCallback):
    """Holds training before every step until one is asked for, and times the step."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)
        self.finished = threading.Semaphore(0)
        self.seconds = 0.0
        self._start = 0.0

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        """Wait for a call."""
        self.wanted.acquire()
        self._start = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Tell the caller."""
        self.seconds = time.perf_counter() - self._start
        self.finished.release()


_steps = _StepByStep()


def load(folder: str, scratch: str, work: Mapping[str, Any], rank: int) -> None:
    """Build the trainer and start its thread, which waits before the first step."""
    wanted = sample_work(work)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [tokenizer.decode(each) for each in prompt_arrays(wanted)]
    config = GRPOConfig(
        output_dir=scratch,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        max_steps=10_000,
        per_device_train_batch_size=len(prompts) * wanted.num_samples,
        num_generations=wanted.num_samples,
        max_completion_length=wanted.outputs[0],
        generation_kwargs={"min_new_tokens": wanted.outputs[0]},
        temperature=1.0,
        top_k=0,
        learning_rate=1e-4,
        beta=0.0,
    )
    trainer = GRPOTrainer(
        model=folder,
        args=config,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        reward_funcs=_share_of_even,
        peft_config=LoraConfig(r=rank, lora_alpha=32, target_modules=_LINEARS),
        callbacks=[_steps],
    )
    threading.Thread(target=trainer.train, daemon=True).start()


def _share_of_even(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
    return [float(np.mean(np.array(tokens) % 2 == 0)) for tokens in completion_ids]


def step() -> float:
    """Run one step and return its seconds."""
    _steps.wanted.release()
    _steps.finished.acquire()
    return _steps.seconds


def main() -> None:
    """Answer calls until standard input ends."""
    answer_calls({method.__name__: method for method in (load, step)})


if __name__ == "__main__":
    main()

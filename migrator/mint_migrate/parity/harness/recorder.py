"""Record every optimizer step of a Trainer, unrounded, and end training after enough of them.

Everything is read where the Trainer itself has it: the loss is the sum of what `training_step`
returns over the accumulation window (each already divided as the Trainer divides it, so the sum is
the step's loss), the learning rate is the one in the optimizer when it steps, and the gradient norm
is the one before clipping.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mint_migrate.parity.harness.generations import Generations, record_generations
from mint_migrate.parity.harness.quantities import MicroBatch, Quantities, measure
from mint_migrate.parity.harness.spec import ADAPTER, COMPLETED, ENDING, REACHED, RECORD, ChildSpec


class TrainingOver(BaseException):
    """Training has done what the comparison needs; the rest of the script is not run.

    Not an `Exception`: a script's own `except Exception` must not catch it.
    """


class CannotCompare(BaseException):
    """The script trains something that has no counterpart on the target."""


class Recorder:
    """Collects one window at a time and appends a line per optimizer step."""

    def __init__(self, spec: ChildSpec, quantities: Quantities) -> None:
        self.output = Path(spec.output)
        self.num_steps = spec.num_steps
        self.quantities = quantities
        self.step = 0
        self.is_in_step = False
        self._reset()

    def _reset(self) -> None:
        self.loss = 0.0
        self.batches: list[MicroBatch] = []
        self.learning_rate = math.nan
        self.grad_norm: float | None = None

    def count(self, inputs: Any) -> None:
        """Add what a micro-batch trains on, where it can be told."""
        batch = measure(inputs) if isinstance(inputs, Mapping) else None
        if batch is not None:
            self.batches.append(batch)

    def write(self) -> None:
        """Append the line of the step that has just been taken."""
        line = {
            **self.quantities.take(self.batches),
            "step": self.step,
            "loss": self.loss,
            "loss_scale": self.quantities.loss_scale,
            "learning_rate": self.learning_rate,
            "grad_norm": self.grad_norm,
            "num_loss_tokens": sum(each.num_tokens for each in self.batches) or None,
            "num_rows": sum(each.num_rows for each in self.batches) or None,
        }
        with (self.output / RECORD).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.step += 1
        self._reset()

    def end(self, word: str) -> None:
        """Note why training is over and leave the script."""
        (self.output / ENDING).write_text(word, encoding="utf-8")
        raise TrainingOver


def record_trainers(spec: ChildSpec) -> None:
    """Make every Trainer of this process record its steps and end the script after training."""
    trainer_class = importlib.import_module("transformers").Trainer
    train = trainer_class.train
    generations = record_generations(Path(spec.output))

    @functools.wraps(train)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        recorder = Recorder(spec, Quantities(self))
        _watch(self, recorder)
        self.add_callback(_callback(self, recorder, generations))
        generations.is_training = True
        train(self, *args, **kwargs)
        recorder.end(COMPLETED)

    trainer_class.train = recorded


def _watch(trainer: Any, recorder: Recorder) -> None:
    """Wrap the methods that a step passes through, on the instance: subclasses are covered."""
    training_step, clip = trainer.training_step, trainer.accelerator.clip_grad_norm_
    prepare = trainer._prepare_inputs

    def recorded_step(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        recorder.is_in_step = True
        count = len(recorder.batches)
        loss = training_step(model, inputs, *args, **kwargs)
        recorder.is_in_step = False
        if len(recorder.batches) == count:
            recorder.count(inputs)
        recorder.loss += float(loss)
        return loss

    def recorded_inputs(inputs: Any) -> Any:
        """Count what the step is given in the end: completions are made from prompts here."""
        prepared = prepare(inputs)
        if recorder.is_in_step:
            recorder.count(prepared)
        return prepared

    def recorded_clip(*args: Any, **kwargs: Any) -> Any:
        norm = clip(*args, **kwargs)
        recorder.grad_norm = float(norm)
        return norm

    if score := getattr(trainer, "_generate_and_score_completions", None):

        def recorded_score(inputs: Any) -> Any:
            scored = score(inputs)
            if recorder.is_in_step:
                recorder.quantities.scored(scored["advantages"])
            return scored

        trainer._generate_and_score_completions = recorded_score

    def gathered(data: Any, *_: Any, **__: Any) -> Any:
        """Return all rows of the one process; accelerate cuts those of an incomplete step.

        It reads the micro-batches of a step ahead, and then takes every one for the last of the
        epoch and cuts it to that one's rows.
        """
        return data

    trainer.training_step = recorded_step
    trainer._prepare_inputs = recorded_inputs
    trainer.accelerator.clip_grad_norm_ = recorded_clip
    trainer.accelerator.gather_for_metrics = gathered


def _callback(trainer: Any, recorder: Recorder, generations: Generations) -> Any:
    """Return a callback that exports the first adapter and writes a line per step."""
    base: Any = importlib.import_module("transformers").TrainerCallback

    class RecordSteps(base):  # type: ignore[misc]  # imported only in this process
        def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
            export_adapter(trainer.accelerator.unwrap_model(trainer.model), recorder.output)

        def on_pre_optimizer_step(self, *_args: Any, **kwargs: Any) -> None:
            recorder.learning_rate = float(kwargs["optimizer"].param_groups[0]["lr"])
            if recorder.grad_norm is None:
                recorder.grad_norm = _gradient_norm(trainer.model)

        def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
            recorder.write()
            generations.stepped()
            if recorder.step >= recorder.num_steps:
                recorder.end(REACHED)

    return RecordSteps()


def _gradient_norm(model: Any) -> float:
    torch = importlib.import_module("torch")
    norms = [
        parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None
    ]
    return float(torch.stack(norms).norm()) if norms else 0.0


def export_adapter(model: Any, output: Path) -> None:
    """Write the adapter in peft format; the folder appears whole.

    Raises:
        CannotCompare: the model is not a peft model, or trains parameters outside its adapter.
    """
    peft = importlib.import_module("peft")
    if not isinstance(model, peft.PeftModel):
        raise CannotCompare(
            f"what the trainer trains is a {type(model).__name__}, not a LoRA adapter"
        )
    outside = [n for n, p in model.named_parameters() if p.requires_grad and ".lora_" not in n]
    if outside:
        raise CannotCompare(
            f"the original trains parameters outside its adapter, such as {outside[0]}"
        )
    partial = output / f".{ADAPTER}"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(str(partial), safe_serialization=True)
    os.replace(partial, output / ADAPTER)

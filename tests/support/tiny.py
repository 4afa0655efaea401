"""Tiny models, datums and engines for the runtime's tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mint_runtime.engine.commands import (
    Array,
    CreateModel,
    Datum,
    LoraSpec,
    OptimStep,
    TrainResult,
    TrainStep,
)
from mint_runtime.engine.local import LocalEngine
from mint_runtime.engine.models import ModelTable, TrainedModel
from mint_runtime.engine.passes import compose
from mint_runtime.engine.settings import EngineSettings
from mint_runtime.engine.training import StepRun, train_pass
from mint_runtime.model.adapter import Adapter, named_matrices
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.load import BaseModel, load_base_model
from mint_runtime.model.lora import LoraPlan
from mint_runtime.tiny_model import build_tiny_model

NAME = "tiny"
VOCAB_SIZE = 512
ADAM = {
    "learning_rate": 1e-2,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-8,
    "weight_decay": 0.0,
    "grad_clip_norm": 0.0,
}


def build_small(directory: Path, architecture: str = "qwen3") -> Path:
    """Write the model most tests use and return its folder."""
    build_tiny_model(directory, vocab_size=VOCAB_SIZE, architecture=architecture)
    return directory


def load(directory: Path, name: str = NAME) -> BaseModel:
    """Load a base model in float32 on the CPU."""
    return load_base_model(name, str(directory), device="cpu", dtype="float32")


def settings(directory: Path, **changes: object) -> EngineSettings:
    """Return settings that serve `directory` as `tiny`."""
    return EngineSettings(**{"base_models": ((NAME, str(directory)),), **changes})  # type: ignore[arg-type]


@contextmanager
def running_engine(directory: Path, **changes: object) -> Iterator[LocalEngine]:
    """Yield an engine that is closed afterwards."""
    engine = LocalEngine(settings(directory, **changes))
    try:
        yield engine
    finally:
        engine.close()


def table(base: BaseModel, **changes: object) -> ModelTable:
    """Return an empty table over one base model."""
    return ModelTable(settings=settings(Path(base.source), **changes), bases={base.name: base})


def trained(base: BaseModel, *, rank: int = 4, seed: int = 0, **lora: bool) -> TrainedModel:
    """Return a model whose B matrices are not zero, so that every matrix has a gradient."""
    models = table(base)
    spec = LoraSpec(rank=rank, seed=seed, **lora)
    models.create(CreateModel(model_id="m", base_model=base.name, lora=spec))
    model = models.model("m")
    shake(model.adapter, seed)
    return model


def logits(base: BaseModel, tokens: torch.Tensor, adapter: Adapter | None = None) -> torch.Tensor:
    """Return the logits `[T, V]` of one sequence."""
    plan = LoraPlan.whole(adapter, len(tokens))
    with torch.no_grad(), base.under(plan):
        hidden = base.hidden(
            tokens, torch.arange(len(tokens)), CausalPlan((len(tokens),), base.device)
        )
        return base.unembed(hidden)


def shake(adapter: Adapter, seed: int = 0) -> None:
    """Give the B matrices small random values."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for pair in adapter.pairs.values():
            pair.b_OR.normal_(std=0.05, generator=generator)


def datum(length: int, seed: int, **inputs: Array) -> Datum:
    """Return random tokens and targets, and signed random weights unless other inputs are given."""
    rng = np.random.default_rng(seed)
    tokens, target = rng.integers(0, VOCAB_SIZE, (2, length))
    values: dict[str, Array] = {"target_tokens": target, **inputs}
    if not inputs:
        values["weights"] = rng.normal(size=length).astype(np.float32)
    return Datum(tokens=tokens, inputs=values)


def step(*data: Datum, loss_fn: str = "cross_entropy", backward: bool = True) -> TrainStep:
    """Return a training step of the model called `m`."""
    return TrainStep(model_id="m", data=data, loss_fn=loss_fn, backward=backward)


def optim(**changes: float) -> OptimStep:
    """Return an optimizer step of the model called `m`."""
    return OptimStep(model_id="m", **{**ADAM, **changes})


def train_step(model: TrainedModel, command: TrainStep, *, max_rows: int = 4096) -> TrainResult:
    """Work through one training step of one model, as the engine does."""
    return train_steps([(model, command)], max_rows=max_rows)[0]


def train_steps(
    steps: Sequence[tuple[TrainedModel, TrainStep]], *, max_rows: int = 4096
) -> list[TrainResult]:
    """Work through steps of several models of one base model in shared passes."""
    runs = [StepRun(model, command) for model, command in steps]
    while pending := [run for run in runs if run.pending and run.error is None]:
        members = compose(pending, max_rows)
        train_pass(pending[0].model.base, members, backward=pending[0].backward)
    return [run.finish() for run in runs]


def gradient(model: TrainedModel) -> dict[str, torch.Tensor]:
    """Return a copy of the accumulated gradient by tensor name; empty if there is none."""
    if model.gradient is None:
        return {}
    return {name: value.clone() for name, value in named_matrices(model.gradient.pairs).items()}


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the norm of the difference over the norm of what is expected."""
    return float((found - expected).norm() / expected.norm())


def worst_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the largest relative error over tensors of the same names."""
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)

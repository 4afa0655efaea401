"""Our engine without a server, and references to compare its results with.

Gradients are read from the optimizer: after one step with beta1 = 0 and a learning rate of 0, the
first moment is the gradient and the weights are what they were. No part of the engine is opened.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mint_runtime.engine import commands as c
from mint_runtime.engine.local import LocalEngine
from mint_runtime.engine.settings import EngineSettings
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.processes import answer_calls
from benchmarks.workloads import TrainWork, train_arrays, train_work

_ADAM = {"beta2": 0.95, "eps": 1e-12, "weight_decay": 0.0, "grad_clip_norm": 0.0}
_MOMENT = ".exp_avg"
_engine: LocalEngine | None = None
_names = itertools.count()
_folder = ""
_scratch = Path(tempfile.mkdtemp(prefix="mint-benchmark-engine-"))


def _run(command: c.Command) -> Any:
    assert _engine is not None, "`load` comes first"
    return _engine.submit(command).result()


def load(folder: str, device: str, dtype: str) -> None:
    """Start the engine."""
    global _engine, _folder
    _folder = folder
    _engine = LocalEngine(
        EngineSettings(base_models=(("base", folder),), device=device, dtype=dtype)
    )


def create(model_id: str, rank: int, seed: int, steps: int, work: Mapping[str, Any]) -> None:
    """Create a model and train it for some steps, so that its update is not zero."""
    lora = c.LoraSpec(rank=rank, seed=seed, train_attn=True, train_mlp=True, train_unembed=False)
    _run(c.CreateModel(model_id=model_id, base_model="base", lora=lora))
    for _ in range(steps):
        _run(_train(model_id, work))
        _run(c.OptimStep(model_id=model_id, learning_rate=1e-2, beta1=0.9, **_ADAM))


def _train(model_id: str, work: Mapping[str, Any], *, only: int | None = None) -> c.TrainStep:
    """Return the pass over a workload; with `only`, all datums but that one have no loss."""
    wanted = train_work(work)
    data = train_arrays(wanted)
    if only is not None:
        for index, arrays in enumerate(data):
            name = "weights" if "weights" in arrays else "advantages"
            arrays[name] = arrays[name] * np.float32(index == only)
    return c.TrainStep(model_id=model_id, data=tuple(map(_datum, data)), loss_fn=wanted.loss_fn)


def _datum(arrays: Mapping[str, Any]) -> c.Datum:
    inputs = {name: value for name, value in arrays.items() if name != "tokens"}
    return c.Datum(tokens=arrays["tokens"], inputs=inputs)


def _gradient(model_id: str) -> dict[str, Tensor]:
    """Take the accumulated gradient from the engine, in float64 on the CPU."""
    _run(c.OptimStep(model_id=model_id, learning_rate=0.0, beta1=0.0, **_ADAM))
    directory = _scratch / f"gradient-{next(_names)}"
    _run(c.SaveAdapter(model_id=model_id, directory=directory, with_optimizer=True))
    moments = load_file(directory / "optimizer.safetensors")
    return {
        name.removesuffix(_MOMENT): value.double()
        for name, value in moments.items()
        if name.endswith(_MOMENT)
    }


def mixes(
    model_id: str, others: Sequence[str], works: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Compare the first datum of the first workload alone and in company.

    In company: between datums of its own model that have no loss, and in steps of other models
    submitted at the same time. Returns the largest difference of a log-probability, in nats, and of
    the gradient, relative to its norm; and the steps that shared a pass, without which equality
    would say nothing.
    """
    first = train_work(works[0])
    fields = {**works[0], "lengths": first.lengths[:1]}
    alone = _run(_train(model_id, fields)).outputs[0]["logprobs"]
    gradient = _gradient(model_id)
    assert _engine is not None
    passes_before = _engine.stats().num_train_passes
    logp, relative = [], []
    for order in range(len(works)):
        for step in (_train(model_id, fields), _train(model_id, works[0], only=0)):
            logprobs, found = _in_company(step, others, works, order)
            logp.append(float(np.abs(logprobs - alone).max()))
            relative.append(_distance(found, gradient))
    num_passes = _engine.stats().num_train_passes - passes_before
    return {
        "logprobs": max(logp),
        "gradient": max(relative),
        "steps in a pass": len(logp) * (1 + len(others)) / num_passes,
    }


def _in_company(
    step: c.TrainStep, others: Sequence[str], works: Sequence[Mapping[str, Any]], order: int
) -> tuple[Any, dict[str, Tensor]]:
    assert _engine is not None
    around: list[c.Command] = [
        _train(other, works[(place + order) % len(works)]) for place, other in enumerate(others)
    ]
    around.insert(1 + order % len(around), step)
    futures = [_engine.submit(command) for command in around]
    results = [future.result() for future in futures]
    answer: Any = results[around.index(step)]
    return answer.outputs[0]["logprobs"], _gradient(step.model_id)


def _distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Return the norm of the difference, relative to the norm of what is expected."""
    assert found.keys() == expected.keys(), (sorted(found)[:3], sorted(expected)[:3])
    difference = sum(float((found[n] - expected[n]).square().sum()) for n in expected)
    size = sum(float(value.square().sum()) for value in expected.values())
    return float((difference / size) ** 0.5)


def gradient_errors(model_id: str, work: Mapping[str, Any]) -> dict[str, float]:
    """Return the relative errors of the engine's gradient and of peft's in the same type.

    Both are measured against transformers and peft in float64.
    """
    directory = _scratch / f"adapter-{next(_names)}"
    _run(c.SaveAdapter(model_id=model_id, directory=directory, with_optimizer=False))
    _run(_train(model_id, work))
    ours = _gradient(model_id)
    exact = _peft_gradient(directory, torch.float64, train_work(work))
    plain = _peft_gradient(directory, torch.float32, train_work(work))
    return {"ours": _distance(ours, exact), "peft": _distance(plain, exact)}


def _peft_gradient(directory: Path, dtype: torch.dtype, work: TrainWork) -> dict[str, Tensor]:
    base = AutoModelForCausalLM.from_pretrained(_folder, dtype=dtype)
    model = PeftModel.from_pretrained(base, directory, is_trainable=True).to(dtype)
    for arrays in train_arrays(work):
        tokens = torch.from_numpy(arrays["tokens"])[None]
        logp = torch.log_softmax(model(input_ids=tokens).logits, dim=-1)
        logp = logp.gather(-1, torch.from_numpy(arrays["target_tokens"])[None, :, None])
        weights = torch.from_numpy(arrays["weights"]).to(dtype)
        torch.autograd.backward([(-logp[0, :, 0] * weights).sum()])
    gradient = {}
    for name, value in model.named_parameters():
        if value.grad is not None:
            plain = name.removeprefix("base_model.model.").removesuffix(".default.weight")
            gradient[plain] = value.grad.double()
    return gradient


def main() -> None:
    """Answer calls until standard input ends."""
    answer_calls({each.__name__: each for each in (load, create, mixes, gradient_errors)})


if __name__ == "__main__":
    main()

"""Commands of an engine, and what comes back."""

from __future__ import annotations

import numpy as np
from mint_runtime.engine.commands import (
    CreateModel,
    LoraSpec,
    Sample,
)

from support.tiny import datum, step

PROMPT = np.arange(5, 15)
DATA = tuple(datum(length, seed) for seed, length in enumerate((12, 30, 7)))


def do(engine, *commands):
    """Run commands in order and return the last result."""
    futures = [engine.submit(command) for command in commands]
    return [future.result(timeout=60) for future in futures][-1]


def create(model_id="m", base_model="tiny", seed=0, rank=4):
    """Return the command that makes a model."""
    lora = LoraSpec(rank=rank, seed=seed)
    return CreateModel(model_id=model_id, base_model=base_model, lora=lora)


def greedy(sampler_id="s"):
    """Return the command that continues the prompt greedily."""
    return Sample(sampler_id=sampler_id, tokens=PROMPT, max_tokens=8, temperature=0.0)


def loss(engine):
    """Return the loss of the model called `m` on the data."""
    return do(engine, step(*DATA, backward=False)).metrics["loss:sum"]


def logprobs(engine, sampler_id="s"):
    """Return the log-probabilities of a greedy continuation."""
    return do(engine, greedy(sampler_id)).sequences[0].logprobs

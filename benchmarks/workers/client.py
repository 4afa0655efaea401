"""The published client, pointed at one server. Every time is the client's own.

Data is made before the clock starts. Model and optimizer settings are the same for every server;
the output layer is not trained, because not every server can where it is tied to the embedding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tinker
from tinker import types

from benchmarks.processes import answer_calls
from benchmarks.servers import KEY
from benchmarks.workloads import (
    SampleWork,
    prompt_arrays,
    sample_work,
    train_arrays,
    train_work,
)

_ADAM = types.AdamParams(learning_rate=1e-4)


class Session:
    """Training clients of one server, and the data prepared for them."""

    def __init__(self, url: str, base_model: str, rank: int, num_clients: int) -> None:
        """Create `num_clients` models, each through a client of its own."""
        self.clients = []
        for index in range(num_clients):
            service = tinker.ServiceClient(base_url=url, api_key=KEY)
            self.clients.append(
                service.create_lora_training_client(
                    base_model, rank=rank, seed=index, train_unembed=False
                )
            )
        self.data: dict[str, tuple[Any, list[types.Datum]]] = {}
        self.sampler: Any = None


_session: Session | None = None


def _now() -> Session:
    assert _session is not None, "`connect` comes first"
    return _session


def connect(url: str, base_model: str, rank: int, num_clients: int = 1) -> float:
    """Create the models and return the seconds that took."""
    global _session
    start = time.perf_counter()
    _session = Session(url, base_model, rank, num_clients)
    return time.perf_counter() - start


def prepare(name: str, work: Mapping[str, Any]) -> None:
    """Build the datums of a `TrainWork` and keep them under `name`."""
    wanted = train_work(work)
    _now().data[name] = (wanted.loss_fn, [_datum(arrays) for arrays in train_arrays(wanted)])


def _datum(arrays: Mapping[str, Any]) -> types.Datum:
    inputs = {name: value for name, value in arrays.items() if name != "tokens"}
    return types.Datum(
        model_input=types.ModelInput.from_ints(arrays["tokens"].tolist()),
        loss_fn_inputs={name: types.TensorData.from_numpy(value) for name, value in inputs.items()},
    )


def train_step(name: str, client: int = 0) -> float:
    """Submit a pass and an optimizer step together, wait for both, return the seconds."""
    loss_fn, data = _now().data[name]
    training = _now().clients[client]
    start = time.perf_counter()
    gradient = training.forward_backward(data, loss_fn)
    step = training.optim_step(_ADAM)
    gradient.result()
    step.result()
    return time.perf_counter() - start


def round_trips(name: str, count: int) -> dict[str, list[float]]:
    """Return the seconds of awaited passes and awaited optimizer steps, in turn."""
    loss_fn, data = _now().data[name]
    training = _now().clients[0]
    passes, steps = [], []
    for _ in range(count):
        start = time.perf_counter()
        training.forward_backward(data, loss_fn).result()
        middle = time.perf_counter()
        training.optim_step(_ADAM).result()
        passes.append(middle - start)
        steps.append(time.perf_counter() - middle)
    return {"forward_backward": passes, "optim_step": steps}


def take_turns(name: str, steps: int) -> float:
    """Let every client do one step after the other, `steps` times; return the seconds."""
    start = time.perf_counter()
    for _ in range(steps):
        for client in range(len(_now().clients)):
            train_step(name, client)
    return time.perf_counter() - start


def run_together(name: str, steps: int) -> float:
    """Let all clients do `steps` steps at once, each at its own pace; return the seconds."""
    loss_fn, data = _now().data[name]

    async def one(training: Any) -> None:
        for _ in range(steps):
            gradient = await training.forward_backward_async(data, loss_fn)
            step = await training.optim_step_async(_ADAM)
            await gradient
            await step

    async def run() -> None:
        await asyncio.gather(*(one(training) for training in _now().clients))

    start = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - start


def publish() -> float:
    """Make a sampler of the first model's weights as they are; return the seconds."""
    start = time.perf_counter()
    _now().sampler = _now().clients[0].save_weights_and_get_sampling_client()
    return time.perf_counter() - start


def sample(work: Mapping[str, Any]) -> dict[str, float]:
    """Submit every prompt at once, wait for all; return seconds and tokens drawn."""
    wanted = sample_work(work)
    prompts = [types.ModelInput.from_ints(each.tolist()) for each in prompt_arrays(wanted)]
    start = time.perf_counter()
    futures = [
        _now().sampler.sample(prompt, wanted.num_samples, _params(wanted, index))
        for index, prompt in enumerate(prompts)
    ]
    answers = [future.result() for future in futures]
    seconds = time.perf_counter() - start
    drawn = sum(len(each.tokens) for answer in answers for each in answer.sequences)
    return {"seconds": seconds, "tokens": drawn}


def _params(work: SampleWork, index: int) -> types.SamplingParams:
    return types.SamplingParams(
        max_tokens=work.outputs[index], temperature=1.0, seed=work.seed + index, stop=[]
    )


def grpo_step(work: Mapping[str, Any]) -> dict[str, float]:
    """Publish, sample a group for every prompt, train on it; return the seconds of each part.

    The reward is free: it is the share of even tokens, so that advantages differ.
    """
    wanted = sample_work(work)
    start = time.perf_counter()
    publish()
    published = time.perf_counter()
    prompts = prompt_arrays(wanted)
    futures = [
        _now().sampler.sample(
            types.ModelInput.from_ints(prompt.tolist()), wanted.num_samples, _params(wanted, index)
        )
        for index, prompt in enumerate(prompts)
    ]
    data = []
    for prompt, future in zip(prompts, futures, strict=True):
        data += _group(prompt, future.result().sequences)
    sampled = time.perf_counter()
    training = _now().clients[0]
    gradient = training.forward_backward(data, "importance_sampling")
    step = training.optim_step(_ADAM)
    gradient.result()
    step.result()
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "publish": published - start,
        "sample": sampled - published,
        "train": end - sampled,
    }


def _group(prompt: Any, sequences: Any) -> list[types.Datum]:
    """Return one datum for each continuation of a prompt, with advantages within the group."""
    rewards = np.array([np.mean(np.array(each.tokens) % 2 == 0) for each in sequences])
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    num_prompt = len(prompt) - 1
    data = []
    for sequence, advantage in zip(sequences, advantages, strict=True):
        tokens = np.concatenate([prompt, np.array(sequence.tokens)])
        zeros = np.zeros(num_prompt, dtype=np.float32)
        size = len(sequence.tokens)
        data.append(
            _datum(
                {
                    "tokens": tokens[:-1],
                    "target_tokens": tokens[1:],
                    "logprobs": np.concatenate([zeros, np.float32(sequence.logprobs)]),
                    "advantages": np.concatenate(
                        [zeros, np.full(size, advantage, dtype=np.float32)]
                    ),
                }
            )
        )
    return data


def logprob_differences(work: Mapping[str, Any]) -> dict[str, float]:
    """Sample, read the same tokens with `forward`; return how far the two are apart, in nats."""
    wanted = sample_work(work)
    publish()
    prompts = prompt_arrays(wanted)
    differences = []
    data, drawn = [], []
    for index, prompt in enumerate(prompts):
        model_input = types.ModelInput.from_ints(prompt.tolist())
        answer = _now().sampler.sample(model_input, wanted.num_samples, _params(wanted, index))
        for sequence in answer.result().sequences:
            data += _group(prompt, [sequence])
            drawn.append((len(prompt) - 1, np.array(sequence.logprobs)))
    outputs = _now().clients[0].forward(data, "importance_sampling").result().loss_fn_outputs
    for (num_prompt, sampled), output in zip(drawn, outputs, strict=True):
        differences.append(np.abs(output["logprobs"].to_numpy()[num_prompt:] - sampled))
    found = np.concatenate(differences)
    return {"mean": float(found.mean()), "max": float(found.max())}


def main() -> None:
    """Answer calls until standard input ends."""
    methods = (
        connect,
        prepare,
        train_step,
        round_trips,
        take_turns,
        run_together,
        publish,
        sample,
        grpo_step,
        logprob_differences,
    )
    answer_calls({method.__name__: method for method in methods})


if __name__ == "__main__":
    main()

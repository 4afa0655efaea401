"""One client of the soak: trains, publishes, samples, saves and loads until its time is over."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import Any

import numpy as np
import tinker
from tinker import types

from benchmarks.processes import answer_calls
from benchmarks.servers import KEY
from benchmarks.workloads import TrainWork, train_arrays

_ADAM = types.AdamParams(learning_rate=1e-4)
_STEPS_BETWEEN_SAVES = 20
_PAUSE_S = 0.02
"""Between steps: four clients that ask without a pause would only measure the machine."""
_training: Any = None
_rest: Any = None
_data: dict[str, list[types.Datum]] = {}
_rounds = 0


def connect(url: str, base_model: str, rank: int, seed: int, vocab_size: int) -> None:
    """Create one model and the data of both losses."""
    global _training, _rest
    service = tinker.ServiceClient(base_url=url, api_key=KEY)
    _training = service.create_lora_training_client(
        base_model, rank=rank, seed=seed, train_unembed=False
    )
    _rest = service.create_rest_client()
    lengths = tuple(int(n) for n in np.random.default_rng(seed).integers(8, 128, 6))
    for loss_fn in ("cross_entropy", "importance_sampling"):
        work = TrainWork(lengths=lengths, vocab_size=vocab_size, loss_fn=loss_fn, seed=seed)
        _data[loss_fn] = [_datum(arrays) for arrays in train_arrays(work)]


def _datum(arrays: dict[str, Any]) -> types.Datum:
    return types.Datum(
        model_input=types.ModelInput.from_ints(arrays["tokens"].tolist()),
        loss_fn_inputs={
            name: types.TensorData.from_numpy(value)
            for name, value in arrays.items()
            if name != "tokens"
        },
    )


def work_for(seconds: float) -> dict[str, Any]:
    """Work until the time is over; return how often each operation succeeded, and what failed."""
    global _rounds
    counts: Counter[str] = Counter()
    errors: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            _one_round(counts)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])
        _rounds += 1
        time.sleep(_PAUSE_S)
    return {"counts": dict(counts), "errors": errors}


def _one_round(counts: Counter[str]) -> None:
    for loss_fn, data in _data.items():
        gradient = _training.forward_backward(data, loss_fn)
        step = _training.optim_step(_ADAM)
        gradient.result()
        step.result()
        counts[loss_fn] += 1
    sampler = _training.save_weights_and_get_sampling_client()
    prompt = types.ModelInput.from_ints([5, 6, 7, 8])
    params = types.SamplingParams(max_tokens=16, temperature=1.0)
    futures = [sampler.sample(prompt, 4, params) for _ in range(2)]
    for future in futures:
        future.result()
    counts["sample"] += len(futures)
    if _rounds % _STEPS_BETWEEN_SAVES == 0:
        _save_and_load(counts)


def _save_and_load(counts: Counter[str]) -> None:
    name = f"soak-{_rounds}"
    path = _training.save_state(name).result().path
    _training.load_state_with_optimizer(path).result()
    _rest.delete_checkpoint_from_tinker_path(path).result()
    counts["save and load"] += 1
    # A request that is refused must leave nothing behind either.
    with contextlib.suppress(Exception):
        _training.forward_backward(_data["cross_entropy"], "no_such_loss").result()


def main() -> None:
    """Answer calls until standard input ends."""
    answer_calls({method.__name__: method for method in (connect, work_for)})


if __name__ == "__main__":
    main()

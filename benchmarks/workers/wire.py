"""Many clients in one process, over plain sockets: loads that the published client cannot make."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.idle_server import HELD_SEED, RELEASE_SEED
from benchmarks.measure import percentile
from benchmarks.processes import answer_calls
from benchmarks.protocol import Connections, Trainer, pass_body
from benchmarks.workloads import train_work

_PAUSE_S = 0.02
_loop = asyncio.new_event_loop()
_connections: Connections | None = None
_trainers: list[Trainer] = []


def _now() -> Connections:
    assert _connections is not None, "`connect` comes first"
    return _connections


def connect(url: str, base_model: str, rank: int, num_clients: int = 1) -> None:
    """Create `num_clients` models, each in a session of its own."""
    global _connections

    async def run() -> None:
        global _connections
        _connections = Connections(url)
        await _connections.authenticate()
        for seed in range(num_clients):
            trainer = await Trainer.create(_connections, base_model, rank=rank, seed=seed)
            _trainers.append(trainer)

    _loop.run_until_complete(run())


def take_turns(work: Mapping[str, Any], steps: int) -> float:
    """Let every client do one step after the other, `steps` times; return the seconds."""
    body = pass_body(train_work(work))

    async def run() -> None:
        for _ in range(steps):
            for trainer in _trainers:
                await trainer.step(body)

    return _timed(run())


def run_together(work: Mapping[str, Any], steps: int) -> float:
    """Let all clients do `steps` steps at once, each at its own pace; return the seconds."""
    body = pass_body(train_work(work))

    async def one(trainer: Trainer) -> None:
        for _ in range(steps):
            await trainer.step(body)

    async def run() -> None:
        await asyncio.gather(*(one(trainer) for trainer in _trainers))

    return _timed(run())


def _timed(work: Any) -> float:
    start = time.perf_counter()
    _loop.run_until_complete(work)
    return time.perf_counter() - start


def long_polls(
    num: int, work: Mapping[str, Any], *, num_tokens: int, held: bool, probes: int
) -> dict[str, float]:
    """Wait for `num` sampling futures at once; return latencies of other requests meanwhile.

    Args:
        num: futures, each with a poll of its own.
        work: the pass whose submission is timed.
        num_tokens: tokens to draw for each.
        held: whether the server is the idle one, which keeps them until it is told otherwise.
        probes: heartbeats and submissions to time while all futures wait.
    """
    return _loop.run_until_complete(_long_polls(num, work, num_tokens, held, probes))


async def _long_polls(
    num: int, work: Mapping[str, Any], num_tokens: int, held: bool, probes: int
) -> dict[str, float]:
    connections, trainer = _now(), _trainers[0]
    body = pass_body(train_work(work))
    sampler = await _sampler(trainer)
    start = time.perf_counter()
    ids = [
        await connections.submitted("asample", _sample(sampler, index, num_tokens, held))
        for index in range(num)
    ]
    submitted = time.perf_counter()
    waiting = [asyncio.create_task(connections.result(each)) for each in ids]
    await asyncio.sleep(0.5)
    heartbeats, submissions = [], []
    for _ in range(probes):
        heartbeats.append(await trainer.heartbeat())
        begun = time.perf_counter()
        await trainer.submit_pass(body)
        submissions.append(time.perf_counter() - begun)
        await asyncio.sleep(_PAUSE_S)
    num_waiting = sum(not task.done() for task in waiting)
    released = time.perf_counter()
    if held:
        await connections.submitted("asample", _sample(sampler, num, 1, held, RELEASE_SEED))
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    return {
        "submit_all_s": submitted - start,
        "waiting_after_probes": num_waiting,
        "errors": sum(isinstance(each, BaseException) for each in answers),
        "finish_s": time.perf_counter() - released,
        "heartbeat p50": 1000 * percentile(heartbeats, 50),
        "heartbeat p99": 1000 * percentile(heartbeats, 99),
        "submit p50": 1000 * percentile(submissions, 50),
        "submit p99": 1000 * percentile(submissions, 99),
    }


_num_samplers = 0


async def _sampler(trainer: Trainer) -> str:
    global _num_samplers
    fields = {
        "session_id": trainer.session_id,
        "sampling_session_seq_id": _num_samplers,
        "base_model": "base",
        "type": "create_sampling_session",
    }
    _num_samplers += 1
    answer = await trainer.connections.json("create_sampling_session", fields)
    return str(answer["sampling_session_id"])


def _sample(sampler: str, index: int, num_tokens: int, held: bool, seed: int = HELD_SEED) -> bytes:
    params: dict[str, Any] = {"max_tokens": num_tokens, "temperature": 1.0, "stop": []}
    if held:
        params["seed"] = seed
    fields = {
        "num_samples": 1,
        "prompt": {"chunks": [{"tokens": [5, 6, 7, 8], "type": "encoded_text"}]},
        "sampling_params": {**params, "top_k": -1, "top_p": 1.0},
        "sampling_session_id": sampler,
        "seq_id": index,
        "prompt_logprobs": False,
        "topk_prompt_logprobs": 0,
        "type": "sample",
    }
    return json.dumps(fields).encode()


def main() -> None:
    """Answer calls until standard input ends."""
    methods = (connect, take_turns, run_together, long_polls)
    answer_calls({method.__name__: method for method in methods})


if __name__ == "__main__":
    main()

"""Our server over an engine that computes nothing: what the service layer itself costs.

The engine answers every command at once, on the thread that submits it, except `Sample` commands
with a seed of `HELD_SEED`: those wait until one with `RELEASE_SEED` comes. Started as
`python -m benchmarks.idle_server --state-dir DIR --ready-file FILE`.
"""

from __future__ import annotations

import argparse
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from mint_runtime.config import ServerSettings
from mint_runtime.engine import commands as c
from mint_runtime.server import serve
from mint_runtime.service.settings import ServiceSettings

HELD_SEED, RELEASE_SEED = 1, 2
_VOCAB_SIZE = 4096


class IdleEngine:
    """Answers commands without a model."""

    def __init__(self) -> None:
        self._held: list[Future[c.Result]] = []

    def capabilities(self) -> c.Capabilities:
        """Return one base model and the losses the benchmarks use."""
        info = c.BaseModelInfo(
            name="base",
            tokenizer_id="none",
            max_context_length=1 << 20,
            vocab_size=_VOCAB_SIZE,
            architecture="none",
            max_lora_rank=128,
        )
        losses = {"cross_entropy": frozenset[str](), "importance_sampling": frozenset[str]()}
        return c.Capabilities(base_models=(info,), losses=losses)

    def stats(self) -> c.EngineStats:
        """Return zeros."""
        names = c.EngineStats.__dataclass_fields__
        return c.EngineStats(**dict.fromkeys(names, 0))

    def submit(self, command: c.Command) -> Future[c.Result]:
        """Answer `command`, or hold it."""
        future: Future[c.Result] = Future()
        future.set_running_or_notify_cancel()
        if isinstance(command, c.Sample) and command.seed == HELD_SEED:
            self._held.append(future)
            return future
        if isinstance(command, c.Sample) and command.seed == RELEASE_SEED:
            held, self._held = self._held, []
            for each in held:
                each.set_result(_sampled())
        future.set_result(_result(command))
        return future

    def close(self) -> None:
        """Do nothing."""


def _result(command: c.Command) -> c.Result:
    match command:
        case c.TrainStep():
            outputs = tuple(
                {"logprobs": np.zeros(len(datum.tokens), dtype=np.float32)}
                for datum in command.data
            )
            return c.TrainResult(outputs=outputs, metrics={"loss:sum": 0.0})
        case c.OptimStep():
            return c.OptimResult(metrics={"grad_norm": 0.0})
        case c.Sample():
            return _sampled()
        case _:
            return c.Done()


def _sampled() -> c.SampleResult:
    sequence = c.SampledSequence(
        tokens=np.zeros(1, dtype=np.int64),
        logprobs=np.zeros(1, dtype=np.float32),
        stop_reason="length",
    )
    return c.SampleResult(sequences=(sequence,))


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    options = parser.parse_args()
    serve(
        IdleEngine,
        ServiceSettings(
            state_dir=options.state_dir, api_key=None, max_body_bytes=1 << 29, max_models=1024
        ),
        ServerSettings(port=0, ready_file=options.ready_file),
        lambda url: None,
    )


if __name__ == "__main__":
    main()

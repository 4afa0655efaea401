"""An engine that computes nothing: it remembers what it was asked, and waits or fails on demand."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from mint_runtime.engine import commands as c
from mint_runtime.errors import NotFound, ServerFault

BASE = "org/base"


class FakeEngine:
    """Runs commands one at a time, in order, on a thread of its own.

    `gate` stops it between commands while cleared. `failures` maps a command type to the error that
    its commands get.
    Log-probabilities are minus the number of the target, so that tests can tell datums apart.
    """

    def __init__(self) -> None:
        self.commands: list[c.Command] = []
        self.failures: dict[type, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()
        self._models: set[str] = set()
        self._jobs: queue.SimpleQueue[tuple[c.Command, Future[c.Result]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def capabilities(self) -> c.Capabilities:
        info = c.BaseModelInfo(
            name=BASE,
            tokenizer_id="/models/of/base",
            max_context_length=128,
            vocab_size=100,
            architecture="Fake",
            max_lora_rank=64,
        )
        ratio = frozenset({"clip_low_threshold", "clip_high_threshold"})
        return c.Capabilities(
            base_models=(info,), losses={"cross_entropy": frozenset(), "ppo": ratio}
        )

    def submit(self, command: c.Command) -> Future[c.Result]:
        future: Future[c.Result] = Future()
        self._jobs.put((command, future))
        return future

    def close(self) -> None:
        self.gate.set()
        self._jobs.put(None)
        self._thread.join()

    def names(self) -> list[str]:
        """Return the types of the commands that ran, in order."""
        return [type(command).__name__ for command in self.commands]

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.gate.wait()
            command, future = job
            if not future.set_running_or_notify_cancel():
                continue
            self.commands.append(command)
            try:
                future.set_result(self._run(command))
            except Exception as error:
                future.set_exception(error)

    def _run(self, command: c.Command) -> c.Result:
        if type(command) in self.failures:
            raise self.failures[type(command)]
        handler: Callable[[c.Command], c.Result] | None = getattr(
            self, f"_{type(command).__name__.lower()}", None
        )
        return handler(command) if handler else c.Done()

    def _createmodel(self, command: c.CreateModel) -> c.Result:
        self._models.add(command.model_id)
        return c.Done()

    def _trainstep(self, command: c.TrainStep) -> c.Result:
        if command.model_id not in self._models:
            raise NotFound(f"model `{command.model_id}` is not known to the engine")
        outputs = tuple(
            {"logprobs": -datum.inputs["target_tokens"].astype(np.float32)}
            for datum in command.data
        )
        total = -sum(float(output["logprobs"].sum()) for output in outputs)
        return c.TrainResult(outputs=outputs, metrics={"loss:sum": total})

    def _optimstep(self, command: c.OptimStep) -> c.Result:
        return c.OptimResult(metrics={"grad_norm": 1.0, "learning_rate": command.learning_rate})

    def _saveadapter(self, command: c.SaveAdapter) -> c.Result:
        unfinished = command.directory.with_name(f"{command.directory.name}.tmp")
        unfinished.mkdir(parents=True)
        (unfinished / "adapter_model.safetensors").write_bytes(b"weights")
        unfinished.rename(command.directory)
        return c.Done()

    def _loadadapter(self, command: c.LoadAdapter) -> c.Result:
        if not command.directory.is_dir():
            raise ServerFault(f"`{command.directory}` is gone")
        return c.Done()

    def _sample(self, command: c.Sample) -> c.Result:
        sequence = c.SampledSequence(
            tokens=np.array([7, 8]),
            logprobs=np.array([-0.5, -0.25], dtype=np.float32),
            stop_reason="stop",
        )
        prompt = (None, *(-1.0 for _ in command.tokens[1:])) if command.prompt_logprobs else None
        return c.SampleResult(sequences=(sequence,) * command.num_samples, prompt_logprobs=prompt)

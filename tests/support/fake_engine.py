"""An engine that computes nothing: it remembers what it was asked, and waits or fails on demand."""

from __future__ import annotations

import json
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

    `gate` stops it between commands while cleared, `token_gate` between the tokens of a sample that
    is listened to; with `one_by_one` it closes behind each. `fails_after_tokens` makes such a
    sample fail at its end; `num_told` counts the tokens that listeners were told. `tokens` and
    `stop_reason` are what every sample draws, with log-probabilities in multiples of
    `logprob_step`. `failures` maps a command type to the error that its commands get.
    Log-probabilities are minus the number of the target, so that tests can tell datums apart.
    """

    def __init__(self, tokenizer_id: str = "/models/of/base") -> None:
        self.commands: list[c.Command] = []
        self.failures: dict[type, Exception] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.token_gate = threading.Event()
        self.token_gate.set()
        self.one_by_one = False
        self.num_told = 0
        self.fails_after_tokens = False
        self.tokens: list[int] = [7, 8]
        self.stop_reason = "stop"
        self.cached_prompt_tokens = 0
        self.logprob_step = -0.25
        self.tokenizer_id = tokenizer_id
        self._models: set[str] = set()
        self._jobs: queue.SimpleQueue[tuple[c.Command, Future[c.Result]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def capabilities(self) -> c.Capabilities:
        info = c.BaseModelInfo(
            name=BASE,
            tokenizer_id=self.tokenizer_id,
            max_context_length=128,
            vocab_size=100,
            architecture="Fake",
            max_lora_rank=64,
        )
        ratio = frozenset({"clip_low_threshold", "clip_high_threshold"})
        return c.Capabilities(
            base_models=(info,), losses={"cross_entropy": frozenset(), "ppo": ratio}
        )

    def stats(self) -> c.EngineStats:
        sampled = [one for one in self.commands if isinstance(one, c.Sample)]
        trained = [one for one in self.commands if isinstance(one, c.TrainStep)]
        return c.EngineStats(
            num_waiting_training=0,
            num_waiting_samples=0,
            num_running_samples=0,
            num_models=len(self._models),
            num_samplers=0,
            trained_tokens=sum(len(datum.tokens) for one in trained for datum in one.data),
            sampled_tokens=sum(len(self.tokens) * one.num_samples for one in sampled),
            prompt_tokens=sum(len(one.tokens) for one in sampled),
            cached_prompt_tokens=0,
            num_train_passes=len(trained),
            num_decode_steps=len(sampled),
            training_seconds=0.5,
            sampling_seconds=0.25,
            num_cache_pages=100,
            num_used_cache_pages=25,
            memory_bytes=1 << 30,
        )

    def submit(self, command: c.Command) -> Future[c.Result]:
        future: Future[c.Result] = Future()
        self._jobs.put((command, future))
        return future

    def close(self) -> None:
        self.gate.set()
        self.token_gate.set()
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

    def _reverseklstep(self, command: c.ReverseKLStep) -> c.Result:
        outputs = tuple({"loss": datum.weights / 2} for datum in command.data)
        total = sum(float(output["loss"].sum()) for output in outputs)
        return c.TrainResult(outputs=outputs, metrics={"loss:sum": total})

    def _interpolateadapters(self, command: c.InterpolateAdapters) -> c.Result:
        command.directory.mkdir(parents=True)
        (command.directory / "adapter_model.safetensors").write_bytes(b"mixed")
        config = {"r": 16, "target_modules": ["q_proj", "v_proj", "lm_head"]}
        (command.directory / "adapter_config.json").write_text(json.dumps(config))
        return c.Done()

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
        """Draw `tokens`, as many as `max_tokens` lets through, and tell the listener of each."""
        drawn = self.tokens[: command.max_tokens]
        reason = self.stop_reason if len(drawn) == len(self.tokens) else "length"
        sequence = c.SampledSequence(
            tokens=np.array(drawn, dtype=np.int64),
            logprobs=np.arange(1, len(drawn) + 1, dtype=np.float32) * self.logprob_step,
            stop_reason=reason,
        )
        if command.listener is not None:
            self._tell(command.listener, sequence, command.num_samples)
            if self.fails_after_tokens:
                raise RuntimeError("the device is gone")
        prompt = (None, *(-1.0 for _ in command.tokens[1:])) if command.prompt_logprobs else None
        count = command.topk_prompt_logprobs
        top = tuple((rank, -1.0 - rank) for rank in range(count))
        return c.SampleResult(
            sequences=(sequence,) * command.num_samples,
            prompt_logprobs=prompt,
            topk_prompt_logprobs=(None, *(top for _ in command.tokens[1:])) if count else None,
            prompt_cache_hit_tokens=self.cached_prompt_tokens,
        )

    def _tell(
        self,
        listener: Callable[[c.SampledToken], None],
        sequence: c.SampledSequence,
        num_samples: int,
    ) -> None:
        last = len(sequence.tokens) - 1
        for place, token in enumerate(sequence.tokens):
            self.token_gate.wait()
            self.num_told += 1
            if self.one_by_one:
                self.token_gate.clear()
            for index in range(num_samples):
                listener(
                    c.SampledToken(
                        sequence=index,
                        token=int(token),
                        logprob=float(sequence.logprobs[place]),
                        stop_reason=sequence.stop_reason if place == last else None,
                    )
                )

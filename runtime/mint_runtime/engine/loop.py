"""What the engine's thread does: take what has arrived, start what can start, run one pass.

Commands of one model run in their order; nothing else is ordered. A turn of the loop starts every
command that is next in its model's line, runs one training pass over datums of all models that are
in a training step, and then lets the sampler work for as long as that pass took. So neither
training nor sampling waits for the other to become idle, and a client with little work waits for
one pass rather than for somebody else's batch.

Files are read and written by helper threads on copies; only the line of the model waits for them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mint_runtime.engine.checkpoints import read_for, read_model, save_adapter, save_model
from mint_runtime.engine.commands import (
    Command,
    CreateModel,
    Done,
    DropModel,
    DropSampler,
    EngineStats,
    InterpolateAdapters,
    LoadAdapter,
    ModelCommand,
    OpenSampler,
    OptimStep,
    Result,
    ReverseKLStep,
    Sample,
    SaveAdapter,
    SnapshotSampler,
    TrainStep,
)
from mint_runtime.engine.interpolate import interpolate
from mint_runtime.engine.lines import ActiveStep, Job, Line, Lines
from mint_runtime.engine.models import ModelTable, Sampler
from mint_runtime.engine.passes import compose
from mint_runtime.engine.reverse_kl import reverse_kl_step
from mint_runtime.engine.sampling import make_request
from mint_runtime.engine.training import StepRun, optim_step, train_pass
from mint_runtime.errors import UserError
from mint_runtime.model.load import BaseModel
from mint_runtime.model.memory import PassBudget, used_bytes
from mint_runtime.sampler.limits import Limits, default_cache_bytes
from mint_runtime.sampler.replay import Replay, ReplayScheduler
from mint_runtime.sampler.schedule import Scheduler

logger = logging.getLogger(__name__)

_FILE_THREADS = 2
Apply = Callable[[Any], None]


@dataclass(slots=True)
class Counters:
    """What has been done since the start."""

    trained_tokens: int = 0
    num_train_passes: int = 0
    training_seconds: float = 0.0
    sampling_seconds: float = 0.0


class EngineLoop:
    """Everything the engine holds. One thread uses it; only `stats` may be called from others."""

    def __init__(self, table: ModelTable, post: Callable[[Callable[[], None]], None]) -> None:
        """Start empty.

        Args:
            table: the base models, and where models and samplers go.
            post: hands a function to the engine's thread, from any thread.
        """
        self._table = table
        self._post = post
        self._lines = Lines()
        self._counters = Counters()
        self._schedulers = _schedulers(table.bases, table.settings.replay)
        self._budgets = {name: PassBudget(base) for name, base in table.bases.items()}
        self._files = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="mint-files")
        self._reading: set[Future[Result]] = set()

    @property
    def has_work(self) -> bool:
        """Tell whether a turn would do something."""
        return self._lines.can_progress or any(s.has_work for s in self._schedulers.values())

    def receive(self, command: Command, future: Future[Result]) -> None:
        """Take a command: into the line of its model, or at once if it belongs to none."""
        # From here on the future can no longer be cancelled; one that was is skipped.
        if not future.set_running_or_notify_cancel():
            return
        job = Job(command, future)
        match command:
            case Sample():
                self._sample(command, future)
            case InterpolateAdapters():
                self._in_background(job, partial(self._interpolate, command))
            case DropSampler() if command.sampler_id not in self._lines:
                self._finish(job, partial(self._run, command))
            case OpenSampler() | DropSampler():
                self._lines.put(command.sampler_id, job)
            case _ if isinstance(command, ModelCommand):
                self._lines.put(command.model_id, job)
            case _:
                kind = type(command).__name__
                future.set_exception(TypeError(f"{kind} is not a command of this engine"))

    def turn(self) -> None:
        """Start what can start, run a training pass, and sample for about as long."""
        began = time.perf_counter()
        self._lines.start_all(self._start)
        self._train()
        self._draw(time.perf_counter() - began)

    def fail_running(self, error: Exception) -> None:
        """Fail the steps and samples under way, when a turn has raised what belongs to none."""
        for line in self._lines.active():
            if line.active is not None:
                line.active.future.set_exception(error)
                line.active = None
        for scheduler in self._schedulers.values():
            scheduler.fail_all(error)

    def close(self, error: Exception) -> None:
        """Fail everything that is not done."""
        self._files.shutdown(wait=True)
        for future in (*self._lines.futures(), *self._reading):
            future.set_exception(error)
        for scheduler in self._schedulers.values():
            scheduler.fail_all(error)

    def stats(self) -> EngineStats:
        """Return counters and what is held now."""
        drawn = [scheduler.stats for scheduler in self._schedulers.values()]
        device = next(iter(self._table.bases.values())).device
        return EngineStats(
            num_waiting_training=self._lines.num_waiting,
            num_waiting_samples=sum(each.num_waiting for each in drawn),
            num_running_samples=sum(each.num_running for each in drawn),
            num_models=len(self._table.trained),
            num_samplers=len(self._table.samplers),
            trained_tokens=self._counters.trained_tokens,
            sampled_tokens=sum(each.sampled_tokens for each in drawn),
            prompt_tokens=sum(each.prompt_tokens for each in drawn),
            cached_prompt_tokens=sum(each.cached_prompt_tokens for each in drawn),
            num_train_passes=self._counters.num_train_passes,
            num_decode_steps=sum(each.num_decode_steps for each in drawn),
            training_seconds=self._counters.training_seconds,
            sampling_seconds=self._counters.sampling_seconds,
            num_cache_pages=sum(each.num_pages for each in drawn),
            num_used_cache_pages=sum(each.num_used_pages for each in drawn),
            memory_bytes=used_bytes(device),
        )

    # Commands of a model

    def _start(self, line: Line, job: Job) -> None:
        command = job.command
        match command:
            case TrainStep():
                self._start_step(line, command, job)
            case SaveAdapter():
                self._start_save(line, command, job)
            case LoadAdapter():
                self._start_load(line, command, job)
            case OpenSampler():
                keep = partial(self._table.add_sampler, command.sampler_id)
                self._in_background(job, partial(self._open, command), keep, line=line)
            case _:
                self._finish(job, partial(self._run, command))

    def _run(self, command: Command) -> Result:
        """Execute a command that is done within the turn."""
        match command:
            case CreateModel():
                self._table.create(command)
            case DropModel():
                self._table.trained.pop(command.model_id, None)
            case OptimStep():
                return optim_step(self._table.model(command.model_id), command)
            case ReverseKLStep():
                return self._distill(command)
            case DropSampler():
                self._drop_sampler(command.sampler_id)
            case SnapshotSampler():
                model = self._table.model(command.model_id)
                frozen = model.adapter.frozen_copy(model.base.dtype)
                self._table.add_sampler(
                    command.sampler_id, Sampler(base=model.base, adapter=frozen)
                )
            case _:
                raise TypeError(f"{type(command).__name__} is no command of this kind")
        return Done()

    def _distill(self, command: ReverseKLStep) -> Result:
        model = self._table.model(command.model_id)
        reference = self._table.sampler(command.reference_sampler_id)
        began = time.perf_counter()
        result = reverse_kl_step(model, reference, command, self._budgets[model.base.name])
        self._counters.training_seconds += time.perf_counter() - began
        self._counters.trained_tokens += sum(len(datum.student_tokens) for datum in command.data)
        return result

    def _start_step(self, line: Line, command: TrainStep, job: Job) -> None:
        with _failing(job.future):
            run = StepRun(self._table.model(command.model_id), command)
            line.active = ActiveStep(run, job.future)

    def _start_save(self, line: Line, command: SaveAdapter, job: Job) -> None:
        with _failing(job.future):
            copy = self._table.model(command.model_id).frozen_copy()
            save = partial(
                save_model, copy, command.directory, with_optimizer=command.with_optimizer
            )
            self._in_background(job, save, line=line)

    def _start_load(self, line: Line, command: LoadAdapter, job: Job) -> None:
        with _failing(job.future):
            model = self._table.model(command.model_id)
            read = partial(
                read_model, model, command.directory, with_optimizer=command.with_optimizer
            )
            self._in_background(job, read, lambda found: model.replace(*found), line=line)

    # Passes

    def _train(self) -> None:
        """Run one training pass if a step is under way."""
        lines = self._lines.active()
        if not lines:
            return
        active = [line.active for line in lines if line.active is not None]
        first = active[0]
        together = [
            each
            for each in active
            if each.run.model.base is first.run.model.base
            and each.run.backward == first.run.backward
            and not (each.is_alone or first.is_alone)
        ] or [first]
        began = time.perf_counter()
        self._pass(first.run.model.base, together)
        self._counters.training_seconds += time.perf_counter() - began
        self._counters.num_train_passes += 1
        for line in lines:
            self._finish_step(line)

    def _pass(self, base: BaseModel, steps: list[ActiveStep]) -> None:
        budget = self._budgets[base.name]
        backward = steps[0].run.backward
        involved = steps
        try:
            members = compose([step.run for step in steps], budget.max_rows())
            runs = {id(run) for run, _ in members}
            involved = [step for step in steps if id(step.run) in runs]
            num_rows = sum(run.num_rows(taken) for run, taken in members)
            with budget.fitting(num_rows, backward=backward):
                train_pass(base, members, backward=backward)
            self._counters.trained_tokens += num_rows
        except Exception as error:
            self._separate(involved, error)

    def _separate(self, steps: list[ActiveStep], error: Exception) -> None:
        """Let steps that shared a failed pass start again, each alone; fail the one that was."""
        if len(steps) == 1:
            logger.error("a training pass failed", exc_info=error)
            steps[0].failure = error.with_traceback(None)
            return
        logger.warning("a shared training pass failed; its steps start again alone", exc_info=error)
        for step in steps:
            step.is_alone = True
            step.run.restart()

    def _finish_step(self, line: Line) -> None:
        step = line.active
        if step is None or (step.run.pending and step.failure is None and step.run.error is None):
            return
        line.active = None
        if step.failure is not None:
            step.future.set_exception(step.failure)
            return
        with _failing(step.future):
            step.future.set_result(step.run.finish())

    def _draw(self, seconds: float) -> None:
        """Let the samplers work for at least one step each, and up to `seconds` together."""
        busy = [scheduler for scheduler in self._schedulers.values() if scheduler.has_work]
        began = time.perf_counter()
        while busy:
            for scheduler in busy:
                self._draw_step(scheduler)
            spent = time.perf_counter() - began
            busy = [scheduler for scheduler in busy if scheduler.has_work]
            if spent >= seconds:
                break
        self._counters.sampling_seconds += time.perf_counter() - began

    def _draw_step(self, scheduler: Scheduler) -> None:
        try:
            scheduler.step()
        except Exception as error:
            # It fails the requests of a pass by itself; this is what came before there was one.
            logger.exception("a sampler failed, and all its requests with it")
            scheduler.fail_all(error)

    # Samplers

    def _sample(self, command: Sample, future: Future[Result]) -> None:
        with _failing(future):
            sampler = self._table.sampler(command.sampler_id)
            self._schedulers[sampler.base.name].add(make_request(sampler, command, future))

    def _open(self, command: OpenSampler) -> Sampler:
        base = self._table.base(command.base_model)
        adapter = None
        if command.directory is not None:
            adapter = read_for(command.directory, base).frozen_copy(base.dtype)
        return Sampler(base=base, adapter=adapter)

    def _drop_sampler(self, sampler_id: str) -> None:
        sampler = self._table.samplers.pop(sampler_id, None)
        if sampler is not None and sampler.adapter is not None:
            self._schedulers[sampler.base.name].forget(sampler.adapter)

    def _interpolate(self, command: InterpolateAdapters) -> None:
        base = self._table.base(command.base_model)
        mixture = interpolate(
            [read_for(source, base) for source in command.sources],
            command.coefficients,
            max_rank=self._table.settings.max_lora_rank,
        )
        save_adapter(mixture.adapter, base, command.directory)

    # Ending commands

    def _in_background(
        self,
        job: Job,
        work: Callable[[], Any],
        apply: Apply | None = None,
        *,
        line: Line | None = None,
    ) -> None:
        """Run `work` on a helper thread, then `apply` what it returns on the engine's."""

        def ended() -> None:
            if line is not None:
                line.is_busy = False
            self._reading.discard(job.future)
            with _failing(job.future):
                found = running.result()
                if apply is not None:
                    apply(found)
                job.future.set_result(Done())

        with _failing(job.future):
            running = self._files.submit(work)
            if line is not None:
                line.is_busy = True
            self._reading.add(job.future)
            running.add_done_callback(lambda _: self._post(ended))

    def _finish(self, job: Job, run: Callable[[], Result]) -> None:
        with _failing(job.future):
            job.future.set_result(run())


def _schedulers(bases: Mapping[str, BaseModel], recorded: Path | None) -> dict[str, Scheduler]:
    """Return a scheduler per base model; together their caches take what one alone would."""
    new = Scheduler if recorded is None else partial(ReplayScheduler, replay=Replay(recorded))
    return {
        name: new(base, limits=Limits(cache_bytes=default_cache_bytes(base.device) // len(bases)))
        for name, base in bases.items()
    }


@contextmanager
def _failing(future: Future[Result]) -> Iterator[None]:
    """Hand what the body raises to `future`; what is not the caller's fault goes to the log too.

    It goes without its traceback, whose frames hold the tensors of a pass and the future itself:
    memory that ran out must not be kept until a garbage collection.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, UserError):
            logger.exception("a command failed")
        future.set_exception(error.with_traceback(None))

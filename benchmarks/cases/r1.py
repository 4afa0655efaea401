"""R1: a whole GRPO step. Publish, sample groups, train on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases import Case
from benchmarks.limits import Decode, decode_seconds, training_flops
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import Worker, running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import server_sides
from benchmarks.workloads import SampleWork

_GROUP = 8
_PARTS = ("publish", "sample", "train")


def work(setting: Setting) -> SampleWork:
    """Return 8 prompts of 32 tokens, 8 samples of 32; for a published shape 32 x 8, 586 and 477."""
    num, prompt, output = (8, 32, 32) if setting.model.is_tiny else (32, 586, 477)
    return SampleWork(
        prompts=(prompt,) * num,
        outputs=(output,) * num,
        vocab_size=setting.model.vocab_size,
        num_samples=_GROUP,
    )


def run(setting: Setting) -> Outcome:
    """Measure the step beside SkyRL and TRL's trainer."""
    wanted = work(setting)
    fields = wanted.to_json()

    def opened(worker: Worker) -> Measure:
        return lambda: {
            name: float(value) for name, value in worker.call("grpo_step", work=fields).items()
        }

    sides = server_sides(setting, opened)
    if setting.wants("trl") and setting.device == "cpu":
        sides.append(_trl_side(setting, wanted))
    series = interleave(sides, repeats=setting.repeats)
    figures = [
        Figure(
            name="seconds",
            unit="s",
            more_is_better=False,
            ratio_targets={"skyrl": 3.0, "trl": 3.0},
            limit=_least_seconds(setting, wanted),
        ),
        *(Figure(name=part, unit="s", more_is_better=False) for part in _PARTS),
    ]
    return Outcome(
        workload=(
            f"{len(wanted.prompts)} prompts x {_GROUP} samples, {wanted.prompts[0]} +"
            f" {wanted.outputs[0]} tokens; publish, sample, importance_sampling, optim_step"
        ),
        rows=rows_of(series, figures),
        notes=(
            "TRL runs GRPOTrainer with peft and transformers' own generate, without a server; one"
            " figure is the time of one optimizer step.",
        ),
    )


def _least_seconds(setting: Setting, wanted: SampleWork) -> float:
    num = len(wanted.prompts) * _GROUP
    prompt, output = wanted.prompts[0], wanted.outputs[0]
    decode = Decode(prompts=(prompt,) * num, outputs=(output,) * num, prompts_shared_by=_GROUP)
    train = training_flops(
        setting.model,
        (prompt + output - 1,) * num,
        num_active=output * num,
        rank=setting.rank,
    )
    sampled = decode_seconds(
        setting.model,
        decode,
        setting.machine,
        element_bytes=setting.element_bytes,
        rank=setting.rank,
    )
    return sampled + train / setting.machine.flops


def _trl_side(setting: Setting, wanted: SampleWork) -> Side:
    @contextmanager
    def open_side() -> Iterator[Measure]:
        with running_worker("trl_grpo", OMP_NUM_THREADS=str(setting.threads)) as worker:
            worker.call(
                "load",
                folder=str(setting.folder),
                scratch=str(setting.scratch / "trl"),
                work=wanted.to_json(),
                rank=setting.rank,
            )
            yield lambda: {"seconds": worker.call("step")}

    return Side(name="trl", open=open_side)


CASE = Case(name="R1", title="GRPO step", run=run, peers=("skyrl", "trl"))

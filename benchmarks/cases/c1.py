"""C1: the sampler's log-probabilities beside those of `forward` for the same tokens."""

from __future__ import annotations

from benchmarks.cases import Case
from benchmarks.measure import Figure, Measure, interleave
from benchmarks.processes import Worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import server_sides
from benchmarks.workloads import SampleWork, TrainWork, uniform_lengths


def run(setting: Setting) -> Outcome:
    """Measure differences after a few steps of training, so that the adapter is not zero."""
    num, high = (16, 64) if setting.model.is_tiny else (64, 512)
    prompts, outputs = (uniform_lengths(num, 8, high, seed=seed) for seed in (0, 1))
    vocab = setting.model.vocab_size
    work = SampleWork(prompts=prompts, outputs=outputs, vocab_size=vocab)
    train = TrainWork(lengths=(high,) * 4, vocab_size=vocab)

    def opened(worker: Worker) -> Measure:
        worker.call("prepare", name="train", work=train.to_json())
        for _ in range(3):
            worker.call("train_step", name="train")
        return lambda: dict(worker.call("logprob_differences", work=work.to_json()))

    series = interleave(server_sides(setting, opened), repeats=setting.repeats, warmups=1)
    return Outcome(
        workload=f"{num} prompts of 8 to {high} tokens, 8 to {high} drawn, after 3 training steps",
        rows=rows_of(
            series,
            [
                Figure(name="mean", unit="nats", more_is_better=False, target=1e-3),
                Figure(name="max", unit="nats", more_is_better=False, target=0.05),
            ],
        ),
    )


CASE = Case(name="C1", title="sampler and trainer agree", run=run, peers=("skyrl",))

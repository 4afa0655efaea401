"""M2: clients with enough work each, beside one client with all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.limits import training_flops
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS
from benchmarks.workloads import TrainWork, uniform_lengths

_NUM_CLIENTS = 8
_ONE = "one client"


def run(setting: Setting) -> Outcome:
    """Measure tokens per second of 8 models against those of one."""
    num = 16 if setting.model.is_tiny else 32
    low, high = (20, 160) if setting.model.is_tiny else (1024, 1024)
    lengths = uniform_lengths(num, low, high, seed=0)
    work = TrainWork(lengths=lengths, vocab_size=setting.model.vocab_size)
    whole = TrainWork(lengths=lengths * _NUM_CLIENTS, vocab_size=setting.model.vocab_size)
    series = interleave(
        [_side(OURS, setting, work, _NUM_CLIENTS), _side(_ONE, setting, whole, 1)],
        repeats=setting.repeats,
    )
    flops = training_flops(
        setting.model, whole.lengths, num_active=whole.num_active, rank=setting.rank
    )
    figure = Figure(
        name="training",
        unit="tokens/s",
        ratio_targets={_ONE: 0.9},
        limit=whole.num_tokens * setting.machine.flops / flops,
    )
    return Outcome(
        workload=(
            f"{_NUM_CLIENTS} clients x {num} datums of {low} to {high} tokens at once; beside it"
            " one client with all of them"
        ),
        rows=rows_of(series, [figure]),
    )


def _side(name: str, setting: Setting, work: TrainWork, num_clients: int) -> Side:
    num_tokens = work.num_tokens * num_clients

    @contextmanager
    def open_side() -> Iterator[Measure]:
        with servers.runtime(setting) as running, running_worker("wire") as wire:
            wire.call(
                "connect",
                url=running.url,
                base_model=running.base_model,
                rank=setting.rank,
                num_clients=num_clients,
            )
            fields = work.to_json()
            yield lambda: {
                "training": 2 * num_tokens / wire.call("run_together", work=fields, steps=2)
            }

    return Side(name=name, open=open_side)


CASE = Case(name="M2", title="many large clients", run=run, peers=(_ONE,))

"""T4: the output layer alone, forward and gradient of its input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.cases import Case
from benchmarks.limits import head_flops
from benchmarks.measure import Figure, Measure, Side, interleave
from benchmarks.models import TINY, build_model
from benchmarks.processes import running_worker
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS

_MATERIALIZED, _CHUNKED = "materialized", "chunked"
_MIB = 1 << 20
# Every block of 64 KiB and more comes from the system and goes back to it, so that resident memory
# is what is used. That costs time, which is therefore taken in another process.
_EXACT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def run(setting: Setting) -> Outcome:
    """Measure time and memory beside materialized logits and torch's own recomputation."""
    model = (
        replace(TINY, name="tiny-head", vocab_size=16_384, hidden_size=256, num_layers=1)
        if setting.model.is_tiny
        else setting.model
    )
    num_tokens = 4096 if setting.model.is_tiny else 32_768
    folder = build_model(model, setting.scratch / model.name, device=setting.device)

    def side(way: str) -> Side:
        @contextmanager
        def open_side() -> Iterator[Measure]:
            threads = str(setting.threads)
            with (
                running_worker("head", OMP_NUM_THREADS=threads) as timed,
                running_worker("head", OMP_NUM_THREADS=threads, **_EXACT_MEMORY) as weighed,
            ):
                for worker in (timed, weighed):
                    worker.call(
                        "load",
                        folder=str(folder),
                        num_tokens=num_tokens,
                        device=setting.device,
                        dtype=setting.dtype,
                    )
                yield lambda: {
                    "time": 1000 * timed.call("run", way=way)["seconds"],
                    "memory": weighed.call("run", way=way)["peak_bytes"] / _MIB,
                }

        return Side(name=way, open=open_side)

    sides = [side(way) for way in (OURS, _MATERIALIZED, _CHUNKED)]
    series = interleave(sides, repeats=setting.repeats)
    least = head_flops(num_tokens, model.hidden_size, model.vocab_size) / setting.machine.flops
    figures = [
        Figure(
            name="time",
            unit="ms",
            more_is_better=False,
            limit=1000 * least,
            ratio_targets={_MATERIALIZED: 1 / 1.1},
        ),
        Figure(
            name="memory",
            unit="MiB",
            more_is_better=False,
            ratio_targets={_MATERIALIZED: 10.0},
        ),
    ]
    return Outcome(
        workload=(
            f"{num_tokens} positions, width {model.hidden_size}, vocabulary {model.vocab_size};"
            " every position has a gradient; no adapter on the layer"
        ),
        rows=rows_of(series, figures),
        notes=(
            "Memory is the peak beyond what the process held before: of resident memory on a CPU,"
            " of allocated memory on a GPU. It includes the gradient itself,"
            f" {num_tokens * model.hidden_size * setting.element_bytes / _MIB:.0f} MiB.",
        ),
    )


CASE = Case(
    name="T4", title="output layer, time and memory", run=run, peers=(_MATERIALIZED, _CHUNKED)
)

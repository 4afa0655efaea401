"""What the sampling cases share: draws over HTTP, and `generate` as one padded batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.limits import Decode, decode_seconds
from benchmarks.measure import Figure, Measure
from benchmarks.processes import Worker
from benchmarks.setting import Setting
from benchmarks.workloads import SampleWork


def over_http(works: Mapping[str, SampleWork]) -> Callable[[Worker], Measure]:
    """Return what publishes the weights once, then measures tokens per second of each work."""

    def opened(worker: Worker) -> Measure:
        worker.call("publish")
        return lambda: {name: _rate(worker, work) for name, work in works.items()}

    return opened


def in_generate(works: Mapping[str, SampleWork]) -> Callable[[Worker], Measure]:
    """Return what measures tokens per second of `generate` on each work."""
    return lambda worker: lambda: {name: _rate(worker, work) for name, work in works.items()}


def _rate(worker: Worker, work: SampleWork) -> float:
    drawn = worker.call("sample", work=work.to_json())
    return float(drawn["tokens"] / drawn["seconds"])


def figure_of(
    name: str, work: SampleWork, setting: Setting, *, ratio_targets: Mapping[str, float]
) -> Figure:
    """Return the figure of one work, with the limit of the hardware."""
    repeated = work.num_samples
    decode = Decode(
        prompts=tuple(each for each in work.prompts for _ in range(repeated)),
        outputs=tuple(each for each in work.outputs for _ in range(repeated)),
        prompts_shared_by=repeated,
    )
    seconds = decode_seconds(
        setting.model,
        decode,
        setting.machine,
        element_bytes=setting.element_bytes,
        rank=setting.rank,
    )
    return Figure(
        name=name,
        unit="tokens/s",
        ratio_targets=ratio_targets,
        limit=work.num_tokens / seconds,
    )

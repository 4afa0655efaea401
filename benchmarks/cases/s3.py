"""S3: several samples of each prompt, which share what was computed for it."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import servers
from benchmarks.cases import Case
from benchmarks.cases.sampling import figure_of, over_http
from benchmarks.measure import interleave
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import OURS, SKYRL, server_sides, service_side
from benchmarks.workloads import SampleWork

_INDEPENDENT = "independent requests"


def run(setting: Setting) -> Outcome:
    """Measure groups beside as many requests with prompts of their own, and beside SkyRL."""
    num_prompts, length, drawn = (4, 256, 32) if setting.model.is_tiny else (16, 2048, 256)
    group = SampleWork(
        prompts=(length,) * num_prompts,
        outputs=(drawn,) * num_prompts,
        vocab_size=setting.model.vocab_size,
        num_samples=16,
    )
    # Other prompts, and as many as sequences: nothing of one can serve another.
    alone = replace(
        group,
        prompts=(length,) * 16 * num_prompts,
        outputs=(drawn,) * 16 * num_prompts,
        num_samples=1,
        seed=1,
    )
    name = "sampling groups"
    sides = server_sides(setting, over_http({name: group}))
    sides.append(
        service_side(
            _INDEPENDENT, lambda: servers.runtime(setting), setting, over_http({name: alone})
        )
    )
    series = interleave(sides, repeats=setting.repeats)
    targets = {_INDEPENDENT: 2.5, SKYRL: 2.0}
    return Outcome(
        workload=(
            f"{num_prompts} prompts of {length} tokens, 16 samples of {drawn} tokens of each;"
            f" beside it {16 * num_prompts} requests of one sample with different prompts"
        ),
        rows=rows_of(series, [figure_of(name, group, setting, ratio_targets=targets)], ours=OURS),
    )


CASE = Case(name="S3", title="sampling, shared prompts", run=run, peers=("skyrl", _INDEPENDENT))

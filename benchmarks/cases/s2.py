"""S2: one sequence alone, where every step waits for the one before."""

from __future__ import annotations

from benchmarks.cases import Case
from benchmarks.cases.sampling import figure_of, in_generate, over_http
from benchmarks.measure import interleave
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import PEFT, peft_side, server_sides
from benchmarks.workloads import SampleWork


def run(setting: Setting) -> Outcome:
    """Measure one request beside SkyRL and `generate`."""
    num = 128 if setting.model.is_tiny else 512
    work = SampleWork(prompts=(32,), outputs=(num,), vocab_size=setting.model.vocab_size)
    wanted = {"sampling alone": work}
    sides = server_sides(setting, over_http(wanted))
    if setting.wants(PEFT):
        sides.append(peft_side(setting, in_generate(wanted)))
    series = interleave(sides, repeats=setting.repeats)
    figure = figure_of("sampling alone", work, setting, ratio_targets={"peft": 1.5})
    return Outcome(
        workload=f"1 prompt of 32 tokens, {num} drawn, with log-probabilities",
        rows=rows_of(series, [figure]),
    )


CASE = Case(name="S2", title="sampling, one request", run=run, peers=("skyrl", "peft"))

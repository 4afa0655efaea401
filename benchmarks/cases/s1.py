"""S1: many sequences at once, of one length and of many."""

from __future__ import annotations

from benchmarks.cases import Case
from benchmarks.cases.sampling import figure_of, in_generate, over_http
from benchmarks.measure import interleave
from benchmarks.report import Outcome, rows_of
from benchmarks.setting import Setting
from benchmarks.sides import PEFT, peft_side, server_sides
from benchmarks.workloads import SampleWork, uniform_lengths


def works(setting: Setting) -> dict[str, SampleWork]:
    """Return 64 requests of 64 tokens and 64 of 10 to 100; for a published shape, 256 of 100 to
    1024, prompts and outputs.
    """
    vocab = setting.model.vocab_size
    if setting.model.is_tiny:
        prompts, outputs = (uniform_lengths(64, 10, 100, seed=seed) for seed in (0, 1))
        even = SampleWork(prompts=(32,) * 64, outputs=(64,) * 64, vocab_size=vocab)
        ragged = SampleWork(prompts=prompts, outputs=outputs, vocab_size=vocab)
        return {"sampling 64x64": even, "sampling ragged": ragged}
    prompts, outputs = (uniform_lengths(256, 100, 1024, seed=seed) for seed in (0, 1))
    return {
        "sampling ragged": SampleWork(prompts=prompts, outputs=outputs, vocab_size=vocab),
    }


def run(setting: Setting) -> Outcome:
    """Measure beside SkyRL and `generate`."""
    wanted = works(setting)
    sides = server_sides(setting, over_http(wanted))
    if setting.wants(PEFT):
        sides.append(peft_side(setting, in_generate(wanted)))
    series = interleave(sides, repeats=setting.repeats)
    targets = {"skyrl": 2.0, "peft": 3.0}
    figures = [
        figure_of(name, work, setting, ratio_targets=targets) for name, work in wanted.items()
    ]
    return Outcome(
        workload="; ".join(
            f"{name}: {len(work.prompts)} prompts of {min(work.prompts)} to {max(work.prompts)}"
            f" tokens, {min(work.outputs)} to {max(work.outputs)} drawn for each, with"
            " log-probabilities, temperature 1, an adapter on every layer"
            for name, work in wanted.items()
        ),
        rows=rows_of(series, figures),
    )


CASE = Case(name="S1", title="sampling, many requests", run=run, peers=("skyrl", "peft"))

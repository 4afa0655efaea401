"""The promise, checked: every verifiable fixture trains to TRL's numbers, and a changed conversion
does not.

Each case is the command a user would type, in a process of its own; two run at a time. TRL, the
runtime and the published client are the real ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cases import copy_case, verifiable

pytestmark = [pytest.mark.parity, pytest.mark.timeout(1500)]

NUM_STEPS = 20
PROCESSES = 2
"""One for each core of the smallest machine the suite is run on."""
LOSS_TOLERANCE = 1e-4
GRAD_TOLERANCE = 1e-4
"""The bounds that verify itself promises, relative; checked again here on its figures."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One wrong conversion: text of the emitted script and what replaces it."""

    case: str
    old: str
    new: str
    cause: str
    """Words that the likely cause must hold."""


MUTATIONS = {
    "targets off by one": Mutation(
        "sft_minimal", '"target_tokens": tokens[1:]', '"target_tokens": tokens[:-1]', "target"
    ),
    "weights not normalised": Mutation("sft_minimal", "[1.0 / num_loss_tokens]", "[1.0]", "normal"),
    "warm-up from one": Mutation(
        "sft_minimal",
        "config.learning_rate * step / warmup_steps",
        "config.learning_rate * (step + 1) / warmup_steps",
        "warm",
    ),
    "another order": Mutation(
        "sft_order",
        "manual_seed(config.data_seed + epoch)",
        "manual_seed(config.data_seed + epoch + 1)",
        "other rows",
    ),
    "another beta2": Mutation(
        "sft_weight_decay", "beta2=config.adam_beta2", "beta2=0.5", "optimizer"
    ),
    "no clipping": Mutation(
        "sft_cosine_warmup_clip",
        "grad_clip_norm=config.max_grad_norm",
        "grad_clip_norm=0.0",
        "optimizer",
    ),
    "a mean of ratios": Mutation(
        "gmpo_rounds",
        "torch.exp(clipped.mean())",
        "torch.exp(clipped).mean()",
        "a term of the loss",
    ),
    "gold answers averaged by row": Mutation(
        "tpo_minimal",
        "torch.cat(gold).mean()",
        "torch.stack([each.mean() for each in gold]).mean()",
        "the same number of tokens",
    ),
    "clipped on the other side": Mutation(
        "gmpo_rounds", "if advantage > 0 else", "if advantage < 0 else", "a term of the loss"
    ),
}


def command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `mint-migrate` with *arguments* in *folder*."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run_verify(
    case: str, folder: Path, mutation: Mutation | None
) -> subprocess.CompletedProcess[str]:
    script = copy_case(case, folder)
    arguments = ["verify", script.name, "--steps", str(NUM_STEPS), "--format", "json"]
    if mutation is not None:
        migrated = command([script.name], folder)
        emitted = script.with_name(f"{script.stem}_mint.py")
        assert emitted.is_file(), migrated.stderr
        text = emitted.read_text(encoding="utf-8")
        assert mutation.old in text, f"the emitted script has changed: no {mutation.old!r}"
        emitted.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    return command(arguments, folder)


Jobs = dict[str, Future[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def jobs(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Jobs]:
    """Start every verification that is asked for; each test waits for its own."""
    root = tmp_path_factory.mktemp("verify")
    work: dict[str, tuple[str, Mutation | None]] = {case: (case, None) for case in verifiable()}
    work |= {name: (mutation.case, mutation) for name, mutation in MUTATIONS.items()}
    asked = {
        value
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
        for value in item.callspec.params.values()
    }
    work = {name: job for name, job in work.items() if name in asked}
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {
            name: pool.submit(run_verify, case, root / str(number), mutation)
            for number, (name, (case, mutation)) in enumerate(work.items())
        }
        pool.shutdown(cancel_futures=True)


def result_of(jobs: Jobs, name: str) -> tuple[int, dict[str, Any]]:
    finished = jobs[name].result()
    assert finished.returncode in {0, 1}, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


@pytest.mark.parametrize("case", verifiable())
def test_conversion_trains_to_the_same_numbers_as_trl(case: str, jobs: Jobs) -> None:
    status, report = result_of(jobs, case)
    steps = report["steps"]
    assert status == 0, (report["cause"], steps[:3])
    assert len(steps) == NUM_STEPS
    for step in steps:
        original, converted = step["original"], step["converted"]
        # The terms of an on-policy loss cancel: what is left is held against their size.
        size = max(abs(original["loss"]), original["loss_scale"] or 0.0)
        assert converted["loss"] == pytest.approx(
            original["loss"], rel=0.0, abs=LOSS_TOLERANCE * size
        )
        assert converted["grad_norm"] == pytest.approx(original["grad_norm"], rel=GRAD_TOLERANCE)
        assert converted["learning_rate"] == pytest.approx(
            original["learning_rate"], rel=1e-9, abs=1e-15
        )
        if original["num_loss_tokens"] is not None:
            assert converted["num_loss_tokens"] == original["num_loss_tokens"]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_conversion_is_found_out_and_its_cause_is_named(name: str, jobs: Jobs) -> None:
    status, report = result_of(jobs, name)
    assert status == 1
    assert MUTATIONS[name].cause in report["cause"].lower()

"""Verify on scripts that are not supervised: what is equal, and what wrong ones are caught by.

Each pair is an original and its conversion, written by hand; a mutation changes the conversion. The
command is the one a user would type, in a process of its own; two run at a time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.server import environment

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

PAIRS = Path(__file__).parent / "pairs"
NUM_STEPS = 10
PROCESSES = 2
"""One for each core of the smallest machine the suite is run on."""

TOLERANCE = 1e-4
"""What verify promises, relative; measured are 1e-6 on gradient norms and less on losses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One wrong conversion: text of the script and what replaces it."""

    pair: str
    old: str
    new: str
    differs: str
    """A quantity that must differ; empty where the script asks for what was not generated."""
    cause: str
    """Words that the likely cause must hold."""


EQUAL = {
    "grpo": {"reward", "reward_std", "advantages", "completions/mean_length"},
    "grpo_kl": {"reward", "advantages", "kl"},
    "dpo": {"rewards/chosen", "rewards/rejected", "rewards/margins"},
}
"""By pair, what is compared beside loss, gradient, learning rate and tokens."""

MUTATIONS = {
    "advantages not scaled": Mutation(
        pair="grpo",
        old="groups.std(1, keepdim=True) + 1e-4",
        new="1.0",
        differs="advantages",
        cause="other advantages",
    ),
    "mean over completions": Mutation(
        pair="grpo",
        old="advantage / num_completion_tokens",
        new="advantage / 16",
        differs="loss",
        cause="the tokens per row",
    ),
    "reward weights dropped": Mutation(
        pair="grpo",
        old="reward_weights=[1.0, 0.5]",
        new="reward_weights=[1.0, 1.0]",
        differs="reward",
        cause="scored otherwise (reward, reward_std)",
    ),
    "one stop token of two": Mutation(
        pair="grpo",
        old="stop=[tokenizer.eos_token_id, tokenizer.pad_token_id]",
        new="stop=[tokenizer.eos_token_id]",
        differs="",
        cause="it ends with none of `stop`",
    ),
    "other prompts": Mutation(
        pair="grpo",
        old="manual_seed(seed)",
        new="manual_seed(seed + 1)",
        differs="",
        cause="",
    ),
    "beta dropped": Mutation(
        pair="grpo_kl",
        old="BETA * kl",
        new="0.0 * kl",
        differs="loss",
        cause="the divergence from the reference",
    ),
    "divergence without its ratio": Mutation(
        pair="grpo_kl", old="- 1) * ratio", new="- 1)", differs="kl", cause="divergence"
    ),
    "old log-probabilities of the trained policy": Mutation(
        pair="grpo_kl",
        old="ratio = torch.exp(new - before)",
        new="ratio = torch.exp(new - new.detach())",
        differs="loss",
        cause="",
    ),
    "half of beta": Mutation(
        pair="dpo", old="BETA, LEARNING_RATE, MAX_STEPS, PAIRS_PER_STEP, MAX_LENGTH = 0.2",
        new="BETA, LEARNING_RATE, MAX_STEPS, PAIRS_PER_STEP, MAX_LENGTH = 0.1",
        differs="grad_norm", cause="0.5 times",
    ),
    "mean over all pairs": Mutation(
        pair="dpo",
        old="torch.stack([part.mean() for part in losses.split(4)]).mean()",
        new="losses.mean()",
        differs="loss",
        cause="incomplete last batch",
    ),
}  # fmt: skip


def run_verify(
    pair: str, folder: Path, mutation: Mutation | None
) -> subprocess.CompletedProcess[str]:
    """Run the command on a copy of a pair."""
    folder.mkdir()
    for name in (f"{pair}.py", f"{pair}_mint.py"):
        shutil.copy(PAIRS / name, folder / name)
    if mutation is not None:
        converted = folder / f"{pair}_mint.py"
        text = converted.read_text(encoding="utf-8")
        assert mutation.old in text
        converted.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    arguments = ["verify", f"{pair}.py", "--steps", str(NUM_STEPS), "--format", "json"]
    return subprocess.run(
        [sys.executable, "-m", "mint_migrate", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


Jobs = dict[str, Future[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """Start every verification; each test waits for its own."""
    root = tmp_path_factory.mktemp("pairs")
    work: dict[str, tuple[str, Mutation | None]] = {pair: (pair, None) for pair in EQUAL}
    work |= {name: (mutation.pair, mutation) for name, mutation in MUTATIONS.items()}
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {
            name: pool.submit(run_verify, pair, root / str(number), mutation)
            for number, (name, (pair, mutation)) in enumerate(work.items())
        }
        pool.shutdown(cancel_futures=True)


def result_of(jobs: Jobs, name: str) -> tuple[int, dict[str, Any]]:
    """Return exit status and report."""
    finished = jobs[name].result()
    assert finished.returncode in {0, 1}, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


@pytest.mark.parametrize("pair", EQUAL)
def test_a_right_conversion_trains_to_the_same_numbers_as_trl(pair: str, jobs: Jobs) -> None:
    status, report = result_of(jobs, pair)
    assert status == 0, (report["cause"], report["steps"][:3])
    assert len(report["steps"]) == NUM_STEPS
    compared: set[str] = set()
    for step in report["steps"]:
        original, converted = step["original"], step["converted"]
        assert converted["loss"] == pytest.approx(
            original["loss"], rel=TOLERANCE, abs=TOLERANCE * (original["loss_scale"] or 0)
        )
        assert converted["grad_norm"] == pytest.approx(original["grad_norm"], rel=TOLERANCE)
        assert converted["num_loss_tokens"] == original["num_loss_tokens"] > 0
        compared |= step["quantity_differences"].keys()
    assert compared == EQUAL[pair]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_conversion_is_found_out_and_its_cause_is_named(name: str, jobs: Jobs) -> None:
    status, report = result_of(jobs, name)
    mutation = MUTATIONS[name]
    assert status == 1
    assert mutation.cause in report["cause"]
    if mutation.differs:
        first = report["steps"][report["first_difference"]]
        assert mutation.differs in first["differs"]
    else:
        assert report["first_difference"] is None
        assert len(report["steps"]) < NUM_STEPS

"""Launchers of verl and OpenRLHF: every option is decided once, and what converts is known."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.model.outcome import Migrated, Skipped
from mint_migrate.model.plan import Fidelity
from support.cases import FIXTURES, launchers
from support.launcher_world import migrate, scripts_of
from support.shell_walker import launches

LAUNCHERS = launchers()
REVIEWED = (
    *("grpo_own_reward", "rpp_baseline_seeds", "passk", "dapo_ray", "batch_manager"),
    *("with_config", "sft_chat_lora", "sft_gsm8k"),
    *("group_norm_kl_loss", "agent_turns", "sft_chats_dotted", "dpo", "kto"),
)
"""Launchers whose scripts are kept in `fixtures/after/launched`."""


def migrated(case: dict[str, Any]) -> Migrated:
    """Return what becomes of a launcher, which must start a training; migrated once."""
    return migrated_at(LAUNCHERS.index(case))


@functools.cache
def migrated_at(place: int) -> Migrated:
    outcome = migrate(LAUNCHERS[place])
    assert isinstance(outcome, Migrated), outcome
    return outcome


@pytest.fixture(params=LAUNCHERS, ids=lambda case: case["id"])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return each launcher."""
    return dict(request.param)


def test_every_option_found_has_one_decision(case: dict[str, Any]) -> None:
    items = [item for launch in launches(FIXTURES / case["path"]) for item in launch]
    theirs = Counter((item.path, item.line, item.column) for item in items)
    decisions = [item.found for item in migrated(case).decisions]
    ours = Counter((item.path, item.span.line, item.span.column) for item in decisions)
    assert ours == theirs


def test_what_is_not_exact_says_why(case: dict[str, Any]) -> None:
    bare = [
        item.found.source_text
        for item in migrated(case).decisions
        if item.fidelity is not Fidelity.EXACT and not (item.code and item.note)
    ]
    assert bare == []


def test_each_training_that_converts_has_a_script(case: dict[str, Any]) -> None:
    expected = case.get("scripts", len(case["expected"])) if case["converts"] else 0
    assert len(scripts_of(migrated(case))) == expected


def test_a_person_is_asked_for_what_the_case_says(case: dict[str, Any]) -> None:
    """Where nothing converts, every option is for a person, with the same reason."""
    asked = Counter(
        item.code for item in migrated(case).decisions if item.fidelity is Fidelity.MANUAL
    )
    if case["converts"]:
        assert asked == case.get("left", {})
    else:
        assert asked[case["refused"]] > 0


@pytest.mark.parametrize("name", REVIEWED)
def test_conversion_is_the_reviewed_one(name: str, after: Any) -> None:
    (case,) = [case for case in LAUNCHERS if case["id"] == name]
    (text,) = scripts_of(migrated(case))
    assert text == after(name=f"launched/{name}")


def test_ruff_finds_nothing_in_conversions(tmp_path: Path) -> None:
    for case in LAUNCHERS:
        for number, text in enumerate(scripts_of(migrated(case))):
            (tmp_path / f"{case['id']}_{number}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--output-format=concise"]
    checked = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_a_script_without_training_is_left_alone() -> None:
    outcome = migrate({"path": "before/launchers/prepare.sh", "source_version": "verl==0.5.0"})
    assert isinstance(outcome, Skipped)

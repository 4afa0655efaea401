"""Trainings that stand in files which a launcher sources."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated, Skipped
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Options, Source
from support.scripts import tables

TRAIN = (
    "python3 -m verl.trainer.main_ppo data.train_files=t.parquet data.val_files=v.parquet "
    'algorithm.adv_estimator=grpo actor_rollout_ref.model.path=$MODEL "$@"'
)
SHARED = f"# shared\nrun() {{\n    local MODEL=$1; shift\n    {TRAIN}\n    echo done\n}}\n"


def migrated(text: str, files: Mapping[str, str]) -> Migrated | Skipped:
    source = Source(path="run.sh", content=text.encode(), text=text, newline="\n")
    options = Options(launched_version=("verl", "0.5.0", "said by the test"))
    outcome = migrate_launcher(source, options, tables(), files.get)
    assert isinstance(outcome, Migrated | Skipped), outcome
    return outcome


def test_a_function_of_a_sourced_file_is_defined_again_with_what_it_starts_now() -> None:
    text = "source lib/run.sh || exit 1\nrun Qwen/Qwen3-0.6B trainer.total_epochs=2\n"

    outcome = migrated(text, {"lib/run.sh": SHARED})

    assert isinstance(outcome, Migrated)
    assert outcome.text is not None
    assert 'model: str = "Qwen/Qwen3-0.6B"' in outcome.text
    assert [item.text for item in outcome.companions] == [
        "source lib/run.sh || exit 1\n"
        "# As in lib/run.sh, but for what it starts.\n"
        "run() {\n    local MODEL=$1; shift\n"
        '    python "$(dirname "$0")/run_mint.py"\n    echo done\n}\n'
        "run Qwen/Qwen3-0.6B trainer.total_epochs=2\n"
    ]
    places = {(item.found.path, item.found.span.line) for item in outcome.decisions}
    assert places == {("lib/run.sh", 4), ("", 2)}


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("source go.sh\n", {"go.sh": f"MODEL=m\n{TRAIN}\n"}),
        ("source go.sh && \\\n  run m\n", {"go.sh": SHARED}),
        ("if $X; then source go.sh; else source go.sh -v; fi\nrun m\n", {"go.sh": SHARED}),
    ],
    ids=["no function", "the line goes on", "sourced twice"],
)
def test_any_other_training_in_a_sourced_file_is_for_a_person(
    text: str, files: Mapping[str, str]
) -> None:
    outcome = migrated(text, files)
    assert isinstance(outcome, Migrated)
    assert (outcome.framework, outcome.text, outcome.companions) == ("verl", None, ())
    (decision,) = outcome.decisions
    assert (decision.fidelity, decision.code) == (Fidelity.MANUAL, "MM123")
    assert decision.found.path == "go.sh"


def test_a_function_that_is_not_called_trains_nothing() -> None:
    outcome = migrated("source lib.sh\necho ready\n", {"lib.sh": SHARED})
    assert isinstance(outcome, Skipped)


def test_what_cannot_be_followed_is_said_unless_it_prepares_the_machine() -> None:
    text = f"source ~/.bashrc\nsource venv/bin/activate\n. $X/env.sh\nMODEL=m\n{TRAIN}\n"
    outcome = migrated(text, {})
    assert isinstance(outcome, Migrated)
    said = [notice for notice in outcome.notices if "is not followed" in notice]
    assert [notice.split(":")[0] for notice in said] == ["line 3"]

"""What the script of a launcher gets in `run --tiny`: rows, sizes, variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.bridge.launched import NUM_ROWS, StandIns, fields_of, is_launched, stand_in
from mint_migrate.model.outcome import Migrated
from support.cases import launchers
from support.launcher_world import migrate, scripts_of

CASES = {case["id"]: case for case in launchers()}


def script(case: str) -> str:
    """Return the first script that a launcher becomes."""
    outcome = migrate(CASES[case])
    assert isinstance(outcome, Migrated)
    return scripts_of(outcome)[0]


def value_of(added: StandIns, field: str) -> str:
    """Return what a field is given on the command line."""
    return added.arguments[added.arguments.index(f"--{field}") + 1]


def rows_of(added: StandIns, field: str) -> list[dict[str, Any]]:
    """Return the rows of the file that a field is given."""
    text = Path(value_of(added, field)).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("case", "field", "columns"),
    [
        (
            "grpo_gsm8k",
            "train_files",
            {"data_source", "prompt", "ability", "reward_model", "extra_info"},
        ),
        ("sft_gsm8k", "train_files", {"extra_info"}),
        ("sft_chat_lora", "val_files", {"messages"}),
        ("rloo_http", "prompt_data", {"context_messages"}),
        ("reinforce_ray", "prompt_data", {"question", "answer"}),
        ("sft", "dataset", {"question", "response"}),
        ("sft_chats_dotted", "eval_dataset", {"messages"}),
        ("dpo", "dataset", {"prompt", "better", "worse"}),
        ("kto", "dataset", {"instruction", "response", "good"}),
    ],
)
def test_rows_have_the_columns_that_the_configuration_names(
    case: str, field: str, columns: set[str], tmp_path: Path
) -> None:
    added = stand_in(script(case), [], tmp_path, tmp_path / "made")
    rows = rows_of(added, field)
    assert len(rows) == NUM_ROWS
    assert all(row.keys() == columns for row in rows)


@pytest.mark.parametrize(
    ("case", "data_source"), [("grpo_gsm8k", "openai/gsm8k"), ("opo", "lighteval/MATH")]
)
def test_rows_have_a_source_that_the_script_scores_itself(
    case: str, data_source: str, tmp_path: Path
) -> None:
    added = stand_in(script(case), [], tmp_path, tmp_path / "made")
    assert {row["data_source"] for row in rows_of(added, "train_files")} == {data_source}


def test_columns_within_a_column_are_made(tmp_path: Path) -> None:
    added = stand_in(script("sft_gsm8k"), [], tmp_path, tmp_path / "made")
    assert all(
        row["extra_info"].keys() == {"question", "answer"} for row in rows_of(added, "train_files")
    )


def test_files_that_are_there_are_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "problems.jsonl").touch()
    added = stand_in(script("dr_grpo"), [], tmp_path, tmp_path / "made")
    assert "--prompt_data" not in added.arguments


def test_variable_of_the_environment_leads_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    (folder / "train.parquet").touch()
    added = stand_in(script("grpo_gsm8k"), [], tmp_path, tmp_path / "made")
    assert "--train_files" not in added.arguments
    assert "--val_files" in added.arguments


def test_what_the_user_gives_stays(tmp_path: Path) -> None:
    args = ["--train_batch_size", "8", "--train_files=mine.parquet"]
    added = stand_in(script("grpo_gsm8k"), args, tmp_path, tmp_path / "made")
    assert not {"--train_batch_size", "--train_files"} & set(added.arguments)
    assert value_of(added, "max_response_length") == "12"


def test_variables_that_only_the_launcher_sets_are_stood_in_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEED", raising=False)
    added = stand_in(script("rpp_baseline_seeds"), [], tmp_path, tmp_path / "made")
    assert added.environment == {"SEED": "1"}
    assert any("SEED=1" in note for note in added.notes)


def test_other_scripts_are_left_alone() -> None:
    assert not is_launched("class Config:\n    lr: float = 1.0\n")
    assert not is_launched("import mint\n")
    assert fields_of("import mint\n") == {}
    assert is_launched(script("grpo_gsm8k"))

"""Which entry point a command starts, also where a copy of one has another name."""

from __future__ import annotations

import pytest
from mint_migrate import files
from mint_migrate.dispatch import migrate_file
from mint_migrate.launches.entries import Recognized, entry_of
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options, Source

RL = ["actor_rollout_ref.model.path=m", "data.train_files=a", "trainer.total_epochs=1"]
SFT = ["data.train_files=a", "model.partial_pretrain=m", "optim.lr=1", "trainer.total_epochs=1"]
OTHER = ["config=c.yaml", "data.train_files=a", "data.val_files=b", "trainer.nnodes=1"]


@pytest.mark.parametrize(
    ("module", "arguments", "entry", "is_copy"),
    [
        ("verl.trainer.main_ppo", [], "main_ppo", False),
        ("mine.main_rl", RL, "main_ppo", True),
        ("mine.train", SFT, "fsdp_sft_trainer", True),
        ("mine.train", [*SFT, "worker.actor.lr=1"], None, False),
        ("mine.train", [*OTHER, "trainer.project_name=p"], None, False),
        ("verl.trainer.main", [*OTHER, "trainer.project_name=p"], "trainer.main", False),
        ("verl.trainer.main", RL, "main_ppo", True),
    ],
)
def test_a_copy_is_known_by_options_that_no_other_entry_has(module, arguments, entry, is_copy):
    found = entry_of(module, arguments, is_module=True)
    expected = None if entry is None else Recognized(framework="verl", entry=entry, is_copy=is_copy)
    assert found == expected


def test_a_release_before_the_first_recorded_one_has_its_rules(tmp_path):
    (tmp_path / "verl" / "version").mkdir(parents=True)
    (tmp_path / "verl" / "version" / "version").write_text("0.1\n")
    options = "algorithm.adv_estimator=grpo data.train_files=a.parquet data.val_files=b.parquet"
    text = f"python3 -m verl.trainer.main_ppo {options} actor_rollout_ref.model.path=m\n"
    (tmp_path / "run.sh").write_text(text)
    source = files.read(tmp_path / "run.sh")
    assert isinstance(source, Source)
    result = migrate_file(source, Options(), None)
    assert isinstance(result, Migrated)
    assert result.version == "0.2"
    assert "0.2 is the oldest recorded release" in result.evidence[0]
    assert any(item.startswith("MM302") for item in result.notices)

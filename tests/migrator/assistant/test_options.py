"""`mappings` and `ask` about keys of verl and flags, as they stand in launchers."""

from __future__ import annotations

import pytest
from mint_migrate import cli
from mint_migrate.assistant import commands
from mint_migrate.assistant.records import Source
from mint_migrate.assistant.render import as_text
from mint_migrate.tables.lookup import load_tables


@pytest.fixture(scope="module")
def tables():
    return load_tables()


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        (
            "actor_rollout_ref.actor.clip_ratio_c",
            "verl.config.actor_rollout_ref.actor.clip_ratio_c",
        ),
        (
            "+actor_rollout_ref.actor.use_kl_loss=True",
            "verl.config.actor_rollout_ref.actor.use_kl_loss",
        ),
        ("verl.config.algorithm.kl_ctrl.kl_coef", "verl.config.algorithm.kl_ctrl.kl_coef"),
        ("verl.sft_config.optim.lr", "verl.sft_config.optim.lr"),
    ],
)
def test_a_key_as_it_stands_in_a_launcher_names_its_row(symbol, wanted, tables):
    record, status = commands.mappings(symbol, tables)
    assert status == 0
    assert [entry.id for entry in record.entries] == [wanted]


def test_a_key_of_several_entry_points_lists_them(tables):
    record, status = commands.mappings("data.train_files", tables)
    assert status == 0
    assert {row.id for row in record.rows} == {
        "verl.config.data.train_files",
        "verl.sft_config.data.train_files",
    }


def test_the_row_of_a_family_answers_with_the_default_of_the_key(tables):
    record, status = commands.mappings("actor_rollout_ref.actor.fsdp_config.fsdp_size", tables)
    text = as_text(record, width=200)
    assert status == 0
    assert "Default: `-1` from 0.2" in text
    assert "`verl.config.actor_rollout_ref.actor.fsdp_config.**` answers for it" in text


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.2", "Counts wherever `actor.use_kl_loss` is off"),
        ("0.5.0", "Does nothing unless `algorithm.use_kl_in_reward` is on"),
    ],
)
def test_a_release_of_verl_decides_what_its_key_does(version, words, tables):
    source = Source(package="verl", version=version)
    record, status = commands.mappings("algorithm.kl_ctrl.kl_coef", tables, source)
    assert status == 0
    assert words in as_text(record, width=200)


def test_a_release_without_the_key_is_told_so(tables):
    source = Source(package="verl", version="0.2")
    record, status = commands.mappings("actor_rollout_ref.actor.clip_ratio_c", tables, source)
    assert status == 1
    assert "In verl 0.2: there is no such name" in as_text(record, width=200)


def test_a_release_of_verl_does_not_change_rows_of_others(tables):
    source = Source(package="verl", version="0.5.0")
    record, status = commands.mappings("trl.DPOConfig.beta", tables, source)
    assert status == 0
    assert record.entries[0].id == "trl.DPOConfig.beta"


def test_a_misspelt_key_gets_the_nearest_one_first(tables):
    record, status = commands.mappings("algorithm.kl_cntrl.kl_coef", tables)
    assert status == 1
    assert record.nearest[0].id == "verl.config.algorithm.kl_ctrl.kl_coef"


def test_a_question_may_contain_a_key(tables):
    record, status = commands.ask("what happens to actor_rollout_ref.actor.entropy_coeff?", tables)
    assert status == 0
    assert "verl.config.actor_rollout_ref.actor.entropy_coeff" in {e.id for e in record.entries}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--eps_clip"], "openrlhf.train_ppo_ray.eps_clip"),
        (["--eps_clip"], "openrlhf.train_ppo.eps_clip"),
        (
            ["--actor.eps_clip", "--source-version", "openrlhf==0.10.2"],
            "train_ppo_ray.actor.eps_clip",
        ),
        (["--init-kl-coef=0.01"], "openrlhf.train_ppo_ray.init_kl_coef"),
    ],
)
def test_a_flag_of_a_launcher_is_a_symbol(words, wanted, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["mappings", *words])
    assert stop.value.code == 0
    assert wanted in capsys.readouterr().out.replace("\n", "")

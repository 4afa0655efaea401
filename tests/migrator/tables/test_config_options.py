"""Options recorded by entry point: where releases and defaults come from, what is read when."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from mint_migrate.model.plan import Fidelity
from mint_migrate.resources import data_dir
from mint_migrate.tables.lookup import Tables, load_tables
from mint_migrate.tables.options import read_part
from mint_migrate.tables.versions import version_key

TABLES = load_tables()
ORDERED = [
    "0.2",
    "0.2.0.post1",
    "0.3.0.post1",
    "0.7.1",
    "0.8.0.dev0",
    "0.8.0rc1",
    "0.8.0",
    "0.8.0.1",
]


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(ORDERED)))
def test_development_comes_before_a_release_and_corrections_after(earlier, later):
    assert version_key(earlier) < version_key(later)


def test_zeros_at_the_end_do_not_count():
    assert version_key("0.2") == version_key("0.2.0")


def test_recorded_releases_are_in_their_order():
    releases = TABLES.releases("verl")
    assert list(releases) == sorted(releases, key=version_key)
    assert {"0.2", "0.4.1", "0.5.0", "0.8.0.dev0", "0.9.1"} <= set(releases)


def test_the_index_of_a_package_is_read_when_one_of_its_names_is_asked_for():
    read = []

    def reader(package: str):
        read.append(package)
        return read_part(package)

    path: Path = data_dir("mappings") / "index.json"
    tables = Tables(json.loads(path.read_bytes()), reader)
    assert tables.row("trl.SFTConfig.max_length") is not None
    assert tables.releases("verl")
    assert tables.rule("MM204").code == "MM204"
    assert read == []
    assert tables.row("verl.config.data.seed") is not None
    assert tables.row("verl.config.data.shuffle") is not None
    assert read == ["verl"]


@pytest.mark.parametrize(
    ("key", "release", "default"),
    [
        ("actor_rollout_ref.actor.entropy_coeff", "0.2", "0.001"),
        ("actor_rollout_ref.actor.entropy_coeff", "0.5.0", "0"),
        ("actor_rollout_ref.actor.fsdp_config.fsdp_size", "0.9.1", "-1"),
        ("data.seed", "0.5.0", "1"),
        ("data.seed", "0.9.1", "None"),
        ("actor_rollout_ref.actor.optim.weight_decay", "0.2", "0.01"),
        ("algorithm.filter_groups.enable", "0.4.1", "False"),
        ("actor_rollout_ref.actor.optim.lr_scheduler_type", "0.4.1", None),
    ],
)
def test_a_default_is_that_of_the_files_and_before_them_of_the_code(key, release, default):
    row = TABLES.row(f"verl.config.{key}", release) or TABLES.row(f"verl.config.{key}")
    assert row is not None
    assert row.default_in(release) == default


def test_what_a_release_no_longer_has_has_no_default_there():
    row = TABLES.row("verl.config.data.datagen.path")
    assert row is not None
    assert row.until == "0.8.0"
    assert row.default_in("0.7.1") == "None"
    assert row.default_in("0.9.1") is None


@pytest.mark.parametrize(
    ("key", "is_known"),
    [
        ("actor_rollout_ref.rollout.engine_kwargs.vllm.swap_space", True),
        ("actor_rollout_ref.rollout.engine_kwargs.vllm.of_my_own", True),
        ("actor_rollout_ref.actor.of_my_own", False),
        ("algorithm.kl_ctrl.of_my_own", False),
        ("data.of_my_own", False),
    ],
)
def test_only_families_of_free_names_answer_for_what_no_release_has(key, is_known):
    assert (TABLES.row(f"verl.config.{key}") is not None) is is_known


def test_a_release_without_an_option_has_no_row_for_it():
    assert TABLES.row("verl.config.actor_rollout_ref.actor.clip_ratio_c", "0.2") is None
    assert TABLES.row("verl.config.actor_rollout_ref.actor.clip_ratio_c", "0.4.0") is not None


@pytest.mark.parametrize(
    ("key", "release", "is_read"),
    [
        ("custom_reward_function.path", "0.8.0", True),
        ("custom_reward_function.path", "0.9.1", False),
        ("actor_rollout_ref.actor.grad_clip", "0.7.1", True),
        ("actor_rollout_ref.actor.grad_clip", "0.8.0", False),
        ("actor_rollout_ref.actor.ppo_epochs", "0.2", False),
        ("actor_rollout_ref.actor.ppo_epochs", "0.3.0.post1", True),
        ("reward_model.reward_manager", "0.9.0", False),
    ],
)
def test_an_option_that_the_release_does_not_read_says_so(key, release, is_read):
    row = TABLES.row(f"verl.config.{key}", release)
    assert row is not None
    assert (row.fidelity, row.code == "MM308") == (
        (Fidelity.EXACT, False) if is_read else (Fidelity.DROPPED, True)
    )


def test_a_default_of_another_file_is_told_apart():
    name = "verl.config.actor_rollout_ref.actor.strategy"
    assert TABLES.default_in_file(name, "ppo_megatron_trainer", "0.9.1") == "'megatron'"
    assert TABLES.default_in_file(name, "ppo_trainer", "0.9.1") is None


@pytest.mark.parametrize(
    ("fact", "release", "value"),
    [
        ("verl_kl_in_reward", "0.3.0.post1", "without use_kl_loss"),
        ("verl_kl_in_reward", "0.4.0", "with use_kl_in_reward"),
        ("verl_token_mean", "0.8.0.dev0", "micro-batch"),
        ("verl_token_mean", "0.8.0", "mini-batch"),
        ("verl_data_seed", "0.6.0", 1),
        ("verl_reward_keys", "0.7.1", "both"),
    ],
)
def test_what_no_key_says_is_known_for_each_release(fact, release, value):
    assert TABLES.fact(fact, release).value == value

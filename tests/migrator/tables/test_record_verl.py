"""Configurations of verl are composed from the files of a wheel, without Hydra."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from mint_migrate.tables.compose import compose, leaves
from mint_migrate.tables.record import record_wheel
from support.environments import environment

FILES = {
    "ppo_trainer": """
defaults:
  - model_engine: dp
  - actor@actor_rollout_ref.actor: ${model_engine}_actor
  - data@data: legacy_data
  - legacy_reward
  - _self_
data:
  shuffle: false
trainer:
  total_epochs: 30
""",
    "model_engine/dp": "# @package _global_\nmodel_engine: dp\n",
    "actor/dp_actor": """
defaults:
  - ../optim@optim: adam
  - actor
  - _self_
strategy: fsdp
optim:
  lr: 1e-6
""",
    "actor/actor": "strategy: ???\nclip_ratio: 0.2\ncheckpoint:\n  contents: [model]\n",
    "optim/adam": "_target_: verl.Adam\nlr: 1e-3\nbetas: [0.9, 0.999]\noverride: {}\n",
    "data/legacy_data": "shuffle: true\nseed: null\n",
    "legacy_reward": "custom_reward_function:\n  path: null\n",
    "ppo_megatron_trainer": """
actor_rollout_ref:
  actor:
    strategy: megatron
    depth: 1_000
""",
    "sft_trainer_engine": "defaults:\n  - engine: fsdp\n  - optim: fsdp\ndata:\n  seed: 1\n",
    "engine/fsdp": "size: -1\n",
    "engine/megatron": "size: 2\n",
    "optim/fsdp": "lr: 1e-3\n",
    "optim/megatron": "lr: 1e-3\nmin_lr: 0.0\n",
}
A = "actor_rollout_ref.actor"


@pytest.fixture
def record(tmp_path: Path):
    path = tmp_path / "verl-0.9.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(f"verl/trainer/config/{name}.yaml", text)
    return record_wheel(path)


@pytest.mark.parametrize(
    ("key", "default"),
    [
        (f"{A}.strategy", "'fsdp'"),
        (f"{A}.clip_ratio", "0.2"),
        (f"{A}.optim.lr", "1e-06"),
        (f"{A}.optim.betas", "[0.9, 0.999]"),
        (f"{A}.optim.override", "{}"),
        (f"{A}.checkpoint.contents", "['model']"),
        (f"{A}.depth", "1000"),
        ("data.shuffle", "False"),
        ("data.seed", "None"),
        ("model_engine", "'dp'"),
        ("custom_reward_function.path", "None"),
        ("trainer.total_epochs", "30"),
    ],
)
def test_a_key_has_the_default_that_composition_gives_it(record, key, default):
    assert record["classes"]["verl.config"]["fields"][key] == default


def test_names_of_python_classes_are_no_options(record):
    fields = record["classes"]["verl.config"]["fields"]
    assert [key for key in fields if key.endswith("_target_")] == []


def test_defaults_of_another_file_stand_apart(record):
    assert record["classes"]["verl.config"]["variants"] == {
        "ppo_megatron_trainer": {f"{A}.strategy": "'megatron'"}
    }


def test_a_trainer_of_several_engines_has_the_keys_of_all(record):
    entry = record["classes"]["verl.sft_config"]
    assert entry["fields"] == {
        "engine.size": "-1",
        "optim.lr": "0.001",
        "data.seed": "1",
        "optim.min_lr": "0.0",
    }
    assert entry["variants"] == {"sft_trainer_engine_megatron": {"engine.size": "2"}}


def test_a_file_that_is_named_and_not_there_is_an_error():
    with pytest.raises(KeyError, match="data/none"):
        compose("main", {"main": "defaults:\n  - data: none\n"}.__getitem__)


HYDRA = """
import json
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

folder, *calls = sys.argv[1:]
with initialize_config_dir(folder, version_base=None):
    for call in calls:
        name, *overrides = call.split()
        config = compose(name, overrides=overrides)
        print(json.dumps(OmegaConf.to_container(config)))
"""


@pytest.mark.environments
def test_composition_is_that_of_hydra():
    python = environment("verl")
    (folder,) = python.parents[1].glob("lib/*/site-packages/verl/trainer/config")
    calls = {
        "ppo_trainer": {},
        "ppo_megatron_trainer": {},
        "sft_trainer_engine": {"engine": "megatron", "optim": "megatron"},
        "evaluation": {},
    }
    lines = [" ".join([name, *map("=".join, made.items())]) for name, made in calls.items()]
    command = [python, "-c", HYDRA, folder, *lines]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for (name, made), line in zip(calls.items(), done.stdout.splitlines(), strict=True):
        ours = compose(name, lambda path: (folder / f"{path}.yaml").read_text("utf-8"), made)
        assert dict(leaves(ours)) == dict(leaves(json.loads(line))), name

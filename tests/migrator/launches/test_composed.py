"""The configuration of a launch: overrides as Hydra reads them, over the files they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from mint_migrate.launches.commands import find_launches
from mint_migrate.launches.composed import Composed, compose
from mint_migrate.launches.hydra import read_value
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import read_shell
from mint_migrate.launches.values import Environment, python_value
from mint_migrate.model.plan import Fidelity

FILES = {
    "conf/mine.yaml": (
        "hydra:\n  searchpath: [file://verl/trainer/config]\n"
        "defaults:\n  - ppo_trainer\n  - model: small\n  - optim@actor.optim: adam\n  - _self_\n"
        "trainer:\n  nnodes: 1\n  lr: 1e-6 # text in YAML\n  logger: [console]\n  extra: {}\n"
    ),
    "conf/model/small.yaml": "path: Qwen/Qwen3-0.6B\nrank: 8\n",
    "conf/optim/adam.yaml": "lr: 2e-5\n",
    "conf/global.yaml": "# @package _global_\ntrainer:\n  nnodes: 7\n",
    "pkg/config/own.yaml": "a: {b: 1}\n",
    "conf/broken.yaml": "a: [1\n",
}


def composed(options: str, files: Mapping[str, str] = FILES, program: str = "") -> Composed:
    text = f"python3 -m {program or 'verl.trainer.main_ppo'} {options}\n"
    launch = find_launches(read_shell(text), Places(text))[0]
    return compose(launch.flags, launch.program, files.get)


def values(result: Composed) -> dict[str, Any]:
    """Return the values that count."""
    return {item.name: item.data for item in result.options}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['console','wandb']", ["console", "wandb"]),
        ("{a:1,b:{c:2.5}}", {"a": 1, "b": {"c": 2.5}}),
        ("null", None),
        ("True", True),
        ("1e-6", 1e-6),
        ("1_000", 1000),
        ("007", "007"),
        ("'1'", "1"),
        ("a b", "a b"),
        ("'it\\'s'", "it's"),
        ("a\\,b", "a,b"),
        ("a,b", "a,b"),
        ("[a,[1,'x,y']]", ["a", [1, "x,y"]]),
        ("${data.max}", "${data.max}"),
        ("int('3')", 3),
        ("", ""),
        ("s3://b/k", "s3://b/k"),
        ("[]", []),
        ("{'a b': null}", {"a b": None}),
    ],
)
def test_values_are_read_as_hydra_reads_them(text: str, value: object) -> None:
    assert read_value(text) == value
    assert type(read_value(text)) is type(value)


@pytest.mark.parametrize(
    ("option", "expression"),
    [
        ("a.files=\"['$D/a','$D/b']\"", '[os.environ["D"] + "/a", os.environ["D"] + "/b"]'),
        ("a.name=\"'x_$D'\"", '"x_" + os.environ["D"]'),
        ('a.map="{k:$D,n:1}"', '{"k": os.environ["D"], "n": 1}'),
        ("a.n=${N:-8}", 'int(os.environ.get("N", "8"))'),
        ("a.p=${P:-$HOME/x}/y", 'os.environ.get("P", os.environ["HOME"] + "/x") + "/y"'),
    ],
)
def test_what_the_shell_knows_stands_inside_of_lists_and_quotes(
    option: str, expression: str
) -> None:
    environment = Environment()
    (given,) = composed(option).options
    assert python_value(given, None, environment) == expression
    assert environment.sources == {}


def test_overrides_count_over_a_file_and_a_file_over_its_defaults() -> None:
    result = composed("--config-path conf --config-name mine model.rank=16 trainer.nnodes=2")
    assert values(result) == {
        "model.path": "Qwen/Qwen3-0.6B",
        "model.rank": 16,
        "actor.optim.lr": 2e-5,
        "trainer.nnodes": 2,
        "trainer.lr": 1e-6,
        "trainer.logger": ["console"],
        "trainer.extra": {},
    }
    places = {item.name: (item.path, item.span.line) for item in result.options}
    assert places["trainer.lr"] == ("conf/mine.yaml", 10)
    assert places["actor.optim.lr"] == ("conf/optim/adam.yaml", 1)


@pytest.mark.parametrize(
    "folder",
    ['"$HERE/conf"', "--config-path=conf", "./conf", '"$(pwd)/conf"', "--config-dir conf"],
)
def test_a_folder_is_found_below_the_launcher(folder: str) -> None:
    option = folder if folder.startswith("--") else f"--config-path={folder}"
    assert "model.path" in values(composed(f"{option} --config-name='mine'"))


def test_a_folder_is_found_beside_the_module() -> None:
    options = "--config-name own data.x=1 actor_rollout_ref.y=2 trainer.z=3"
    assert values(composed(options, program="pkg.main"))["a.b"] == 1


@pytest.mark.parametrize(
    ("options", "fidelity", "code"),
    [
        ("--config-name ppo_megatron_trainer.yaml", Fidelity.EXACT, None),
        ("--config-name nowhere", Fidelity.MANUAL, "MM122"),
        ("--config-name $NAME", Fidelity.MANUAL, "MM122"),
        ("--config-path conf --config-name broken", Fidelity.MANUAL, "MM122"),
        ("hydra.run.dir=x", Fidelity.DROPPED, "MM316"),
        ("--multirun", Fidelity.EXACT, None),
        ("~trainer.logger", Fidelity.MANUAL, "MM307"),
    ],
)
def test_what_belongs_to_hydra_is_decided_apart(
    options: str, fidelity: Fidelity, code: str | None
) -> None:
    result = composed(options)
    assert result.options == []
    assert (result.decisions[0].fidelity, result.decisions[0].code) == (fidelity, code)


def test_a_key_that_is_taken_away_is_decided_once() -> None:
    result = composed("--config-path conf --config-name global ~trainer.nnodes")
    assert result.options == []
    notes = [item.note for item in result.decisions]
    assert "`~trainer.nnodes` takes it away" in notes
    assert len(notes) == len({item.found for item in result.decisions}) == 4


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ("[base, {override model: large}]", {"model.size": 7, "x": 1}),
        ("[{model: large}, {optim@a.b: adam}]", {"model.size": 7, "a.b.lr": 1}),
        ("[{model: [small, large]}]", {"model.size": 7, "model.rank": 8}),
        ("[{model: small}, {'optim': '${model}_lr'}]", {"model.rank": 8, "optim.lr": 2}),
        ("[model/large, nowhere]", {"model.size": 7}),
        ("[sub/inner]", {"sub.model.size": 5}),
        ("[{optional model: large}, {model: null}]", {"model.size": 7}),
    ],
)
def test_a_defaults_list_brings_in_what_it_names(
    defaults: str, expected: Mapping[str, object]
) -> None:
    files = {
        "conf/top.yaml": f"defaults: {defaults}\n",
        "conf/base.yaml": "defaults: [{model: small}]\nx: 1\n",
        "conf/model/small.yaml": "rank: 8\n",
        "conf/model/large.yaml": "size: 7\n",
        "conf/optim/adam.yaml": "lr: 1\n",
        "conf/optim/small_lr.yaml": "lr: 2\n",
        "conf/sub/inner.yaml": "defaults: [{model: own}]\n",
        "conf/sub/model/own.yaml": "size: 5\n",
    }
    assert values(composed("--config-path conf --config-name top", files)) == expected


def test_a_configuration_of_the_projects_copy_of_verl_has_the_defaults_of_the_release() -> None:
    files = {"verl/trainer/config/ppo_megatron_trainer.yaml": "data: {image_key: images}\n"}
    result = composed("--config-name=ppo_megatron_trainer data.seed=1", files)
    assert values(result) == {"data.seed": 1}
    assert [(item.fidelity, item.code) for item in result.decisions] == [
        (Fidelity.APPROXIMATE, "MM327")
    ]

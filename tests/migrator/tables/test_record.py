"""Recording the surface of a wheel from its source alone."""

from __future__ import annotations

import json
import zipfile

import pytest
from mint_migrate.tables.record import dump_record, record_wheel

CONFIG = """
from dataclasses import dataclass, field
from typing import ClassVar

import a_package_that_does_not_exist


@dataclass
class _BaseConfig(TrainingArguments):
    logging_steps: float = field(default=10, metadata={"help": "..."})
    packing: bool = True


@dataclass
class SFTConfig(_BaseConfig):
    _private: int = 0
    shared: ClassVar[int] = 1
    max_length: int | None = field(default=1024)
    extras: dict = field(default_factory=dict)
    output_dir: str = field(metadata={"help": "..."})
    packing: bool = False
"""
TRAINER = """
class SFTTrainer(Trainer):
    def __init__(self, model, args=None, *, optimizers=(None, None), key):
        ...

    def train(self): ...

    def _hidden(self): ...
"""
MOVED = """
@dataclass
class KTOConfig(_KTOConfig):
    def __post_init__(self): ...


class KTOTrainer(_KTOTrainer):
    def __init__(self, *args, **kwargs): ...
"""
REAL = """
@dataclass
class KTOConfig(_BaseConfig):
    beta: float = 0.1


class KTOTrainer(_BaseTrainer):
    def __init__(self, model): ...

    async def step(self): ...


class _BaseTrainer(Trainer):
    def log(self): ...


@dataclass
class TunedKTOConfig(KTOConfig):
    gamma: float = 1.0


class TunedKTOTrainer(KTOTrainer):
    def __init__(self, extra, **kwargs): ...
"""
SERVE = """
@dataclass
class ScriptArguments:
    port: int = 8000
"""
SCRIPTS = """
@dataclass
class ScriptArguments:
    dataset_name: str = None
"""
INIT = """
_import_structure = {"trainer": ["SFTTrainer", "SFTConfig"], "core": ["set_seed"]}
if True:
    _import_structure["extras"].extend(["BestOfNSampler"])
from .trainer import OldTrainer as NewTrainer
"""


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "trl-9.8.7-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trl/__init__.py", INIT)
        archive.writestr("trl/trainer/sft_config.py", CONFIG)
        archive.writestr("trl/trainer/sft_trainer.py", TRAINER)
        archive.writestr(
            "trl/experimental/ppo/deep.py", "class DeepTrainer: ...\nclass Deep: ...\n"
        )
        archive.writestr("trl/scripts/tool.py", "class ToolConfig: ...\n")
        archive.writestr("trl/scripts/utils.py", SCRIPTS)
        archive.writestr("trl/scripts/vllm_serve.py", SERVE)
        archive.writestr("trl/commands/scripts/kto.py", SERVE)
        archive.writestr("trl/trainer/kto.py", MOVED)
        archive.writestr("trl/experimental/kto/kto.py", REAL)
        archive.writestr(
            "trl-9.8.7.dist-info/METADATA",
            "Requires-Dist: transformers>=5.1.0\nRequires-Dist: peft>=0.9; extra == 'peft'\n",
        )
    return path


def test_fields_are_recorded_with_those_of_bases_which_the_class_overrides(wheel):
    assert record_wheel(wheel)["classes"]["trl.SFTConfig"]["fields"] == {
        "logging_steps": "10",
        "packing": "False",
        "max_length": "1024",
        "extras": "factory: dict",
        "output_dir": None,
    }


def test_arguments_and_public_methods_of_the_trainer_are_recorded(wheel):
    trainer = record_wheel(wheel)["classes"]["trl.SFTTrainer"]
    assert trainer["init"] == {
        "model": None,
        "args": "None",
        "optimizers": "(None, None)",
        "key": None,
    }
    assert trainer["methods"] == ["train"]


def test_public_names_are_exports_and_classes_named_like_an_interface(wheel):
    assert record_wheel(wheel)["names"] == [
        "BestOfNSampler",
        "DeepTrainer",
        "KTOConfig",
        "KTOTrainer",
        "NewTrainer",
        "SFTConfig",
        "SFTTrainer",
        "TunedKTOConfig",
        "TunedKTOTrainer",
        "set_seed",
    ]


def test_a_class_that_moved_is_recorded_where_it_is_written_not_where_it_is_wrapped(wheel):
    classes = record_wheel(wheel)["classes"]
    assert classes["trl.KTOConfig"]["fields"] == {
        "logging_steps": "10",
        "packing": "True",
        "beta": "0.1",
    }
    assert classes["trl.KTOTrainer"]["init"] == {"model": None}
    assert classes["trl.KTOTrainer"]["methods"] == ["log", "step"]


def test_a_base_that_is_public_is_named_and_a_shared_one_is_a_part_of_the_class(wheel):
    classes = record_wheel(wheel)["classes"]
    assert classes["trl.KTOConfig"]["bases"] == ["transformers.TrainingArguments"]
    assert classes["trl.KTOTrainer"]["bases"] == ["transformers.Trainer"]
    assert classes["trl.TunedKTOConfig"] == {"bases": ["trl.KTOConfig"], "fields": {"gamma": "1.0"}}
    assert "trl._BaseConfig" not in classes


def test_a_constructor_that_hands_keywords_on_says_so(wheel):
    classes = record_wheel(wheel)["classes"]
    assert classes["trl.TunedKTOTrainer"]["forwards"] is True
    assert "forwards" not in classes["trl.KTOTrainer"]


def test_classes_behind_commands_are_recorded_the_second_of_a_name_by_its_module(wheel):
    classes = record_wheel(wheel)["classes"]
    assert classes["trl.ScriptArguments"] == {"fields": {"dataset_name": "None"}}
    served = {"fields": {"port": "8000"}}
    assert classes["trl.scripts.vllm_serve.ScriptArguments"] == served
    assert classes["trl.commands.scripts.kto.ScriptArguments"] == served


def test_a_record_is_written_with_a_line_for_each_class(wheel):
    record = record_wheel(wheel)
    text = dump_record(record)
    assert json.loads(text) == record
    assert sum(line.startswith('"trl.') for line in text.splitlines()) == len(record["classes"])


def test_release_and_requirement_come_from_the_wheel(wheel):
    record = record_wheel(wheel)
    assert (record["package"], record["version"]) == ("trl", "9.8.7")
    assert record["requires"] == {"transformers": "5.1.0"}


@pytest.mark.parametrize("name", ["numpy-1.0-py3-none-any.whl", "notes.txt"])
def test_another_file_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="expected a wheel of one of trl, transformers, peft"):
        record_wheel(tmp_path / name)

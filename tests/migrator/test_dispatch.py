"""Settings, loaders and trainers of other files: converted with a script, or refused by place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SETTINGS = """\
from peft import LoraConfig
from trl import SFTConfig

MODEL = "Qwen/Qwen3-0.6B"


def make_config(out):
    return SFTConfig(output_dir=out, max_length=64, save_strategy="no")


lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
"""
TRAIN = """\
from datasets import load_dataset
from trl import SFTTrainer

from settings import MODEL, lora, make_config

rows = load_dataset("acme/stories", split="train")
trainer = SFTTrainer(MODEL, args=make_config("out"), train_dataset=rows, peft_config=lora)
trainer.train()
"""
MAIN = """\
import trainers

trainer = trainers.build()
trainer.train()
"""


def put(**texts: str) -> None:
    Path("pyproject.toml").write_text("")
    for name, text in texts.items():
        Path(f"{name}.py").write_text(text)


def items_of(out: str, name: str = "train.py") -> dict:
    return next(file for file in json.loads(out)["files"] if Path(file["source"]).name == name)


def test_settings_of_another_file_are_converted_with_the_script(run):
    put(settings=SETTINGS, train=TRAIN)
    status, _, err = run("train.py")
    assert status == 0, err
    text = Path("train_mint.py").read_text()
    assert "settings import" not in text
    assert "# From settings.py." in text
    assert "- settings.py, line 11, MM205:" in text
    assert "settings.py:11" in err
    assert "the result has its own `MODEL`, `make_config`, `lora`" in " ".join(err.split())
    assert Path("settings.py").read_text() == SETTINGS


def test_every_item_has_the_place_it_stands_at(run):
    put(settings=SETTINGS, train=TRAIN)
    _, out, _ = run("train.py", "--format", "json")
    lines = {"settings.py": SETTINGS.split("\n"), "train.py": TRAIN.split("\n")}
    items = items_of(out)["items"]
    assert {item.get("path") or "train.py" for item in items} == {"settings.py", "train.py"}
    for item in items:
        line = lines[item.get("path") or "train.py"][item["line"] - 1]
        first = item["source_text"].split("\n")[0].partition("...")[0]
        assert line[item["column"] - 1 :].startswith(first), item


def test_values_that_decide_an_option_are_followed_too(run):
    put(
        settings='OPTIONS = dict(output_dir="out", loss_type="dft", save_strategy="no")\n',
        train=TRAIN.replace("from trl import", "from trl import SFTConfig,")
        .replace("MODEL, lora, make_config", "OPTIONS")
        .replace("MODEL,", '"Qwen/Qwen3-0.6B",')
        .replace('make_config("out")', "SFTConfig(**OPTIONS)")
        .replace(", peft_config=lora", ""),
    )
    status, out, err = run("train.py", "--format", "json")
    assert status == 0, err
    found = {item["source_text"]: item.get("path") for item in items_of(out)["items"]}
    assert found['loss_type="dft"'] == "settings.py"


def test_a_trainer_of_another_file_is_trained_by_the_converted_script(run):
    factory = TRAIN.replace("trainer.train()\n", "").replace("trainer =", "    return")
    factory = factory.replace("rows =", "def build():\n    rows =")
    put(settings=SETTINGS, trainers=factory, main=MAIN)
    status, _, err = run("main.py")
    assert status == 0, err
    text = Path("main_mint.py").read_text()
    assert "# From trainers.py." in text
    assert text.rstrip().endswith("training_client = trainer()")


@pytest.mark.parametrize("argv", [["train.py"], ["."]])
def test_what_cannot_come_is_named_with_its_place(run, argv):
    put(settings=SETTINGS, train=TRAIN.replace("MODEL, lora, make_config", "*"))
    status, _, err = run(*argv)
    assert status == 1
    assert not Path("train_mint.py").exists()
    assert "train.py, line 4: a star import does not say" in " ".join(err.split())


def test_a_script_that_converts_alone_is_not_changed_by_what_else_it_imports(run):
    put(
        words="def clean(row):\n    return {'text': row['story']}\n",
        train=TRAIN.replace(
            "from settings import MODEL, lora, make_config", "from words import clean"
        )
        .replace('MODEL, args=make_config("out")', '"Qwen/Qwen3-0.6B"')
        .replace(", peft_config=lora", "")
        .replace('split="train")', 'split="train").map(clean)'),
    )
    status, _, err = run("train.py")
    assert status == 0, err
    assert "from words import clean\n" in Path("train_mint.py").read_text()

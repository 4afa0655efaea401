"""The inventory lists every use once, where it stands, and nothing else."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from mint_migrate.scan.config import config_uses
from mint_migrate.scan.notebook import notebook_uses
from mint_migrate.scan.python import python_uses
from mint_migrate.scan.records import Use
from mint_migrate.scan.search import search
from mint_migrate.scan.shell import shell_uses
from support.scripts import tables
from support.walker import found

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "before" / "trl"
SCRIPTS = sorted(FIXTURES.glob("*.py"))


def brief(uses: list[Use]) -> list[tuple[int, int, str, str]]:
    return [(use.line, use.column, use.kind, use.name) for use in uses]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_uses_of_a_script_are_those_that_an_independent_count_finds(path):
    text = path.read_text(encoding="utf-8")
    uses = [(use.kind, use.line, use.column) for use in python_uses(text, tables())]
    assert sorted(uses) == sorted((item.kind, item.line, item.column) for item in found(text))


@pytest.mark.parametrize(
    ("text", "name", "becomes", "code"),
    [
        ("from trl import SFTTrainer\n", "trl.SFTTrainer", "exact", None),
        ("from trl import SFTConfig\nSFTConfig(bf16=True)\n", "trl.SFTConfig.bf16", None, None),
        (
            "from peft import LoraConfig\nLoraConfig(lora_alpha=1)\n",
            "peft.LoraConfig.lora_alpha",
            "approximate",
            "MM205",
        ),
        ("import verl\n", "verl", "unknown", None),
        ("from openrlhf.cli import train_ppo\n", "openrlhf.cli.train_ppo", "exact", None),
        ("from verl import DataProto\n", "verl.DataProto", "exact", None),
        (
            "from verl import DataProto\ndef f(b: DataProto): return b.to_tensordict()\n",
            "verl.DataProto.to_tensordict",
            "manual",
            "MM363",
        ),
        ("import tinker as t\nt.ServiceClient()\n", "tinker.ServiceClient", "unknown", None),
        ("from deepspeed import zero\n", "deepspeed.zero", "unknown", None),
        ("import importlib\nimportlib.import_module('trl')\n", "trl", None, None),
        (
            "from trl import SFTTrainer\nt = SFTTrainer('m')\nt.state.log_history\n",
            "trl.SFTTrainer.state.log_history",
            None,
            None,
        ),
    ],
)
def test_a_use_says_what_the_tables_know(text, name, becomes, code):
    by_name = {use.name: use for use in python_uses(text, tables())}
    assert name in by_name
    assert becomes in (None, by_name[name].becomes)
    assert code in (None, by_name[name].code)


@pytest.mark.parametrize(
    "text",
    [
        "from mine import SFTTrainer\nSFTTrainer(model='m')\n",
        "'from trl import SFTTrainer'\n",
        "# import trl\n",
        "trl = 1\ntrl.SFTTrainer()\n",
        "from .trl import SFTTrainer\n",
        "import trlx, overlap\n",
        "import_module('trlx')\n",
        "import mint\n",
    ],
)
def test_other_python_is_left_alone(text):
    assert python_uses(text, tables()) == []


SHELL = """\
#!/bin/bash
# trl sft --model_name_or_path x
trl sft --model_name_or_path Qwen/Qwen3-0.6B \\
   --learning-rate=1e-5 'x y' # --more
A=1 accelerate launch --num_processes 4 train.py --lr 1 && echo "trl sft"
"""


def test_commands_and_their_flags_are_found_in_shell_text():
    assert brief(shell_uses(SHELL, tables())) == [
        (3, 1, "command", "trl sft"),
        (3, 9, "flag", "trl.ModelConfig.model_name_or_path"),
        (4, 4, "flag", "trl.SFTConfig.learning_rate"),
        (5, 5, "command", "accelerate launch"),
        (5, 23, "flag", "accelerate.launch.num_processes"),
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("deepspeed --num_gpus 4 train.py --lr 1", ["deepspeed", "deepspeed num_gpus"]),
        (
            "ray job submit -- python3 -m verl.trainer.main_ppo data.seed=1 +a.b=2",
            [
                "python -m verl.trainer.main_ppo",
                "verl.config.data.seed",
                "python -m verl.trainer.main_ppo a.b",
            ],
        ),
        (
            "torchrun -m verl.trainer.fsdp_sft_trainer data.train_files=a",
            ["python -m verl.trainer.fsdp_sft_trainer", "verl.sft_config.data.train_files"],
        ),
        (
            "deepspeed --module openrlhf.cli.train_ppo_ray --actor.num_nodes 2",
            [
                "deepspeed",
                "python -m openrlhf.cli.train_ppo_ray",
                "openrlhf.train_ppo_ray.actor_num_nodes",
            ],
        ),
        (
            "python -m openrlhf.cli.train_sft --pretrain m",
            ["python -m openrlhf.cli.train_sft", "openrlhf.common.pretrain"],
        ),
        ("(cd a; .venv/bin/trl dpo --beta 0.1)", ["trl dpo", None]),
    ],
)
def test_launchers_of_every_framework_are_known(text, names):
    listed = [use.name for use in shell_uses(text, tables())]
    assert len(listed) == len(names)
    assert all(name in (None, mine) for name, mine in zip(names, listed, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "pip install trl deepspeed accelerate",
        "echo 'trl sft --x'",
        "# accelerate launch train.py",
        "python train.py --trl sft",
        "git commit -m trl",
        "cat trl.txt",
        "accelerate --help",
        "python -m verlike.main a=1",
        "echo 'never closed\ntrue",
    ],
)
def test_other_shell_text_is_left_alone(text):
    assert shell_uses(text, tables()) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "# sft\nmodel_name_or_path: m\nnum_train_epochs: 1\nnested:\n  learning_rate: 1\n",
            [
                (2, "trl.config.model_name_or_path"),
                (3, "transformers.TrainingArguments.num_train_epochs"),
                (4, "trl.config.nested"),
            ],
        ),
        (
            "compute_environment: LOCAL\nnum_processes: 2\n",
            [(1, "accelerate.config.compute_environment"), (2, "accelerate.config.num_processes")],
        ),
        ("services:\n  trl: {image: x}\nversion: 3\n", []),
        ("model_name_or_path: m\n", []),
        ("", []),
    ],
)
def test_configurations_of_trainings_and_launchers_are_known(text, names):
    listed = [(use.line, use.name) for use in config_uses(text, tables())]
    assert [line for line, _ in listed] == [line for line, _ in names]
    known = [name for _, name in names]
    # Where the tables know a key by now, the row's name stands in place of ours.
    assert all(
        mine == name or name.startswith("trl.config.")
        for (_, mine), name in zip(listed, known, strict=True)
    )


def notebook(*cells: str | list[str]) -> str:
    code = [{"cell_type": "code", "source": cell, "metadata": {}} for cell in cells]
    text = {"cell_type": "markdown", "source": "from trl import SFTTrainer"}
    return json.dumps({"cells": [text, *code], "nbformat": 4})


def test_a_name_keeps_its_meaning_from_cell_to_cell():
    text = notebook(
        ["!pip install trl\n", "%matplotlib inline\n", "from trl import SFTTrainer"],
        "if 1:\n    !accelerate launch --num_processes 2 x.py\n    t = SFTTrainer('m')",
        "%%bash\ntrl sft --seed 1",
        "%%html\n<b>trl sft</b>",
        "this is not python",
        "t.train()",
    )
    assert [
        (use.cell, *place) for use in notebook_uses(text, tables()) for place in brief([use])
    ] == [
        (2, 3, 17, "import", "trl.SFTTrainer"),
        (3, 2, 6, "command", "accelerate launch"),
        (3, 2, 24, "flag", "accelerate.launch.num_processes"),
        (3, 3, 9, "call", "trl.SFTTrainer"),
        (3, 3, 20, "argument", "trl.SFTTrainer[0]"),
        (4, 2, 1, "command", "trl sft"),
        (
            4,
            2,
            9,
            "flag",
            next(use.name for use in notebook_uses(text, tables()) if "seed" in use.name),
        ),
        (7, 1, 1, "method", "trl.SFTTrainer.train"),
    ]


@pytest.mark.parametrize("text", ["{}", "[]", "not json trl"])
def test_what_is_no_notebook_is_told(tmp_path, text):
    (tmp_path / "x.ipynb").write_text(f'{text} "trl"' if text == "not json trl" else text)
    inventory = search([tmp_path / "x.ipynb"], tables())
    failed = [file.failure.code for file in inventory.files if file.failure is not None]
    assert failed == (["MM104"] if "trl" in text else [])


PROJECT = {
    "pyproject.toml": "",
    ".gitignore": "old/\n",
    "train.py": "from lib.made import make\nmake()\n",
    "lib/made.py": "from trl import SFTTrainer\ndef make(): return SFTTrainer('m')\n",
    "old/train.py": "import trl\n",
    "plain.py": "print('hello')\n",
    "run.sh": "trl sft\n",
    "bad.py": "import trl\nx = (\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_a_tree_is_searched_files_that_use_it_through_others_included(project):
    inventory = search([project], tables())
    listed = {Path(file.path).relative_to(project).as_posix(): file for file in inventory.files}
    assert set(listed) == {"bad.py", "run.sh", "train.py", "lib/made.py"}
    failure = listed["bad.py"].failure
    assert failure is not None
    assert failure.code == "MM101"
    (use,) = listed["train.py"].uses
    assert (use.name, use.becomes, use.code) == ("trl.SFTTrainer", "manual", "MM109")
    assert inventory.num_searched == 5


def test_the_table_is_aligned_and_ends_with_a_count(project, run):
    status, out, err = run("scan", str(project / "lib"))
    assert (status, err) == (0, "")
    lines = out.rstrip().split("\n")
    assert lines[0] == f"{project}/lib/made.py: 3 uses, 3 exact"
    assert lines[1].split()[:3] == ["1:17", "import", "trl.SFTTrainer"]
    assert len({line.index("  exact") for line in lines[1:4]}) == 1
    assert lines[-1] == "3 uses in 1 of 1 file searched: 3 exact"


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_listed(project, run):
    status, out, err = run("scan", str(project))
    assert status == 2
    assert "trl sft" in out
    assert "bad.py:2:5: MM101" in err


def test_csv_has_a_line_for_each_use(project, run):
    _, out, err = run("scan", str(project / "run.sh"), str(project / "train.py"), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["line"], row["kind"], row["name"], row["becomes"]) for row in rows] == [
        ("1", "command", "trl sft", "unknown"),
        ("1", "import", "trl.SFTTrainer", "manual"),
    ]
    assert "2 uses in 2 of 2 files searched" in err


def test_json_has_uses_counts_and_failures(project, run):
    status, out, _ = run("scan", str(project), "--format", "json")
    document = json.loads(out)
    assert status == 2
    assert document["version"] == 1
    assert document["totals"]["searched"] == 5
    assert sum(len(file["uses"]) for file in document["files"]) == document["totals"]["uses"]
    assert [failure["code"] for failure in document["failures"]] == ["MM101"]
    (made,) = [file for file in document["files"] if file["path"].endswith("made.py")]
    assert made["counts"] == {
        "exact": 3,
        "approximate": 0,
        "dropped": 0,
        "manual": 0,
        "unknown": 0,
    }


def test_nothing_is_written_and_nothing_found_is_said(run):
    Path("plain.py").write_text("print()\n")
    status, out, _ = run("scan")
    assert (status, out) == (0, "1 file searched, no source framework used\n")
    assert [path.name for path in Path().iterdir()] == ["plain.py"]


def test_a_path_that_does_not_exist_fails(run):
    status, _, err = run("scan", "nowhere.py")
    assert status == 2
    assert "nowhere.py: MM105" in err

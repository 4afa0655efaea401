"""What lies behind imports from the project's own files."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mint_migrate.local.imports import imported_definition, imported_definitions, project_of
from mint_migrate.model.local import Definition, Imported

CONFIGS = """\
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

LR = 1e-4


def make_config(out):
    config = SFTConfig(output_dir=out, learning_rate=LR)
    return config


def direct(out):
    return SFTConfig(output_dir=out)


def twice(out):
    return make_config(out)


def either(flag):
    if flag:
        return SFTConfig(output_dir="a")
    return SFTConfig(output_dir="b")


def rows():
    return load_dataset("acme/chats")


def to_prompt(row):
    return {"text": row["question"]}


def train(out):
    trainer = SFTTrainer("m", args=make_config(out))
    trainer.train()


BASE = SFTConfig(output_dir="x")


class Mine(SFTTrainer):
    def compute_loss(self):
        return 0


again = 1
again = SFTConfig()


def circular():
    return circular()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in {
        "pyproject.toml": "",
        "lib/__init__.py": "from .configs import twice as handed_on\nfrom trl import DPOConfig\n",
        "lib/configs.py": CONFIGS,
        "lib/broken.py": "def f(:\n",
        "src/tools.py": "from lib.configs import direct\nhelper = direct('o')\n",
        "flat.py": "import lib.configs\n",
        "trl/__init__.py": "class SFTConfig: ...\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def definition(project: Path, qualified: str, importer: str = "train.py") -> Definition | None:
    path = str(project / importer)
    return imported_definition(qualified, importer=path, project=project_of(path))


def imported(project: Path, text: str, importer: str = "train.py") -> list[Imported]:
    path = str(project / importer)
    (project / importer).write_text(text)
    return list(imported_definitions(text, ast.parse(text), path=path, project=project_of(path)))


@pytest.mark.parametrize(
    ("name", "kind", "qualified", "uses"),
    [
        ("make_config", "function", "trl.SFTConfig", ("trl.SFTConfig",)),
        ("direct", "function", "trl.SFTConfig", ("trl.SFTConfig",)),
        ("twice", "function", "trl.SFTConfig", ("trl.SFTConfig",)),
        ("either", "function", None, ("trl.SFTConfig",)),
        ("rows", "function", None, ()),
        ("train", "function", None, ("trl.SFTConfig", "trl.SFTTrainer")),
        ("BASE", "assignment", "trl.SFTConfig", ("trl.SFTConfig",)),
        ("Mine", "class", "trl.SFTTrainer", ("trl.SFTTrainer",)),
        ("LR", "assignment", None, ()),
        ("circular", "function", None, ()),
    ],
)
def test_a_definition_says_what_it_brings(project, name, kind, qualified, uses):
    found = definition(project, f"lib.configs.{name}")
    assert found is not None
    assert (found.kind, found.qualified, found.uses) == (kind, qualified, uses)
    assert found.text in CONFIGS
    assert found.module == "lib.configs"


def test_the_call_behind_a_factory_comes_with_its_arguments(project):
    found = definition(project, "lib.configs.twice")
    assert found is not None
    assert found.call is not None
    arguments = [(each.keyword, each.value.text) for each in found.call.arguments]
    assert arguments == [("output_dir", "out"), ("learning_rate", "LR")]
    assert found.call.found.span.line == CONFIGS[: CONFIGS.index("SFTConfig(o")].count("\n") + 1


def test_a_function_comes_with_the_columns_it_makes_and_reads(project):
    found = definition(project, "lib.configs.to_prompt")
    assert found is not None
    assert found.function is not None
    assert (found.function.returned_keys, found.function.read_keys) == (("text",), ("question",))


def test_a_definition_names_what_it_cannot_be_copied_without(project):
    found = definition(project, "lib.configs.make_config")
    assert found is not None
    assert found.loads == ("LR", "SFTConfig")


@pytest.mark.parametrize(
    "qualified",
    [
        "lib.configs.again",
        "lib.configs.missing",
        "lib.broken.f",
        "lib.nowhere.f",
        "os.path.join",
        "datasets.load_dataset",
        "trl.SFTConfig",
        "..outside.f",
        "make_config",
    ],
)
def test_what_is_bound_twice_or_not_in_the_project_is_left_alone(project, qualified):
    assert definition(project, qualified) is None


@pytest.mark.parametrize(
    ("qualified", "importer", "brings"),
    [
        ("lib.handed_on", "train.py", "trl.SFTConfig"),
        ("lib.DPOConfig", "train.py", "trl.DPOConfig"),
        (".configs.direct", "lib/other.py", "trl.SFTConfig"),
        ("..lib.configs.direct", "lib/deep.py", "trl.SFTConfig"),
        (".handed_on", "lib/other.py", "trl.SFTConfig"),
        ("tools.helper", "train.py", "trl.SFTConfig"),
        ("flat.lib", "train.py", None),
    ],
)
def test_names_are_followed_through_the_files_that_hand_them_on(
    project, qualified, importer, brings
):
    found = definition(project, qualified, importer)
    assert (found.qualified if found else None) == brings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from lib.configs import direct\n", [("direct", "lib.configs.direct", 1)]),
        ("from lib.configs import direct as d\n", [("d", "lib.configs.direct", 1)]),
        ("import lib.configs as c\nc.direct('a')\n", [("c.direct", "lib.configs.direct", 2)]),
        ("import lib.configs\nlib.configs.BASE\n", [("lib.configs.BASE", "lib.configs.BASE", 2)]),
        (
            "from lib import configs\nconfigs.BASE.seed\n",
            [("configs.BASE", "lib.configs.BASE", 2)],
        ),
        ("def f():\n    from lib import handed_on\n", [("handed_on", "lib.handed_on", 2)]),
        ("import os\nfrom trl import SFTConfig\nos.path.join('a')\n", []),
        ("from lib.configs import direct\ndirect = 1\n", [("direct", "lib.configs.direct", 1)]),
        ("lib = 1\nlib.configs\n", []),
        ("'from lib.configs import direct'\n", []),
    ],
)
def test_imports_of_a_script_are_listed_with_their_place(project, text, expected):
    found = imported(project, text)
    assert [(each.bound, each.qualified, each.span.line) for each in found] == expected


def test_a_star_import_brings_every_public_name(project):
    found = imported(project, "from lib import *\n")
    assert {each.bound for each in found} == {"handed_on", "DPOConfig"}


def test_a_file_that_changed_is_read_again(project):
    assert definition(project, "lib.configs.LR") is not None
    (project / "lib" / "configs.py").write_text("OTHER = 1\n")
    assert definition(project, "lib.configs.LR") is None


def test_functions_that_all_call_one_another_are_followed_in_no_time(project):
    names = [f"f{number}" for number in range(60)]
    calls = "; ".join(f"{name}()" for name in names)
    body = "".join(f"def {name}(): {calls}; return {names[0]}()\n" for name in names)
    (project / "lib" / "configs.py").write_text(body)
    found = definition(project, "lib.configs.f7")
    assert found is not None
    assert (found.qualified, found.uses) == (None, ())

"""A script with what it needs of other files: the same program, and every place known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mint_migrate import files
from mint_migrate.local.join import Joined, Refused, join_modules
from mint_migrate.model.source import Source


def put(folder: Path, project: dict[str, str]) -> None:
    (folder / "pyproject.toml").write_text("")
    for name, text in project.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def join(folder: Path, script: str = "train.py") -> Joined | Refused | None:
    source = files.read(folder / script)
    assert isinstance(source, Source)
    return join_modules(source)


def text_of(folder: Path, project: dict[str, str]) -> str:
    put(folder, project)
    joined = join(folder)
    assert isinstance(joined, Joined), joined
    return joined.text


SETTINGS = """\
from trl import SFTConfig

SEED = 7
UNUSED = 8


# Shared by all runs.
def make(out, seed=SEED):
    return SFTConfig(output_dir=out, seed=seed)
"""


def test_what_is_imported_comes_with_what_it_reads_and_nothing_else(tmp_path):
    text = text_of(
        tmp_path,
        {
            "settings.py": SETTINGS,
            "train.py": "from settings import make\n\nprint(make('a').seed)\n",
        },
    )
    assert text == (
        "from trl import SFTConfig\n\n# From settings.py.\nSEED = 7\n\n\n# Shared by all runs.\n"
        "def make(out, seed=SEED):\n    return SFTConfig(output_dir=out, seed=seed)\n\n\n"
        "print(make('a').seed)\n"
    )


@pytest.mark.parametrize(
    ("importing", "use"),
    [
        ("import settings", "settings.make"),
        ("import settings as own", "own.make"),
        ("from settings import make as make_settings", "make_settings"),
        ("def late():\n    from settings import make\n    return make\n", "late()"),
    ],
)
def test_every_way_to_import_reaches_the_definition(tmp_path, importing, use):
    text = text_of(
        tmp_path, {"settings.py": SETTINGS, "train.py": f"{importing}\n\nprint({use}('a'))\n"}
    )
    assert "settings import" not in text
    assert "import settings" not in text
    name = "make_settings" if "make_settings" in use else "make"
    assert f"def {name}(out, seed=SEED):" in text
    assert compile(text, "train.py", "exec")


def test_modules_without_a_framework_behind_them_stay_imports(tmp_path):
    put(
        tmp_path,
        {
            "rewards.py": "import math\n\n\ndef short(completions, **kwargs):\n    return [0.0]\n",
            "train.py": "from rewards import short\nfrom trl import GRPOConfig\n",
        },
    )
    assert join(tmp_path) is None


def test_a_module_beside_one_that_comes_stays_an_import_and_is_spelled_for_the_script(tmp_path):
    text = text_of(
        tmp_path,
        {
            "lib/__init__.py": "",
            "lib/words.py": "def clean(text):\n    return text.strip()\n",
            "lib/load.py": "from trl import SFTConfig\nfrom .words import clean\n\n\n"
            "def make(out):\n    return SFTConfig(output_dir=clean(out))\n",
            "train.py": "from lib.load import make\n\nprint(make(' a '))\n",
        },
    )
    assert "from lib.words import clean\n" in text
    assert "def clean" not in text


def test_a_module_that_reads_one_that_comes_comes_too(tmp_path):
    """Otherwise the values of that one would exist twice."""
    text = text_of(
        tmp_path,
        {
            "settings.py": SETTINGS,
            "shown.py": "from settings import SEED\n\n\ndef show():\n    return SEED\n",
            "train.py": "from settings import make\nfrom shown import show\n\nmake(str(show()))\n",
        },
    )
    assert "def show():" in text
    assert text.count("SEED = 7") == 1


def test_what_importing_does_is_done_and_main_blocks_are_not(tmp_path):
    text = text_of(
        tmp_path,
        {
            "settings.py": "import os\nfrom trl import SFTConfig\n\nos.environ['A'] = '1'\n"
            "BASE = SFTConfig(output_dir='a')\nOTHER = SFTConfig(output_dir='b')\n\n"
            "if __name__ == '__main__':\n    print(BASE)\n",
            "train.py": "from settings import BASE\n\nprint(BASE)\n",
        },
    )
    assert "os.environ['A'] = '1'" in text
    assert "OTHER" not in text
    assert "__main__" not in text


PROGRAM = {
    "lib/__init__.py": "",
    "lib/base.py": "from transformers import GenerationConfig as Plan\n\nlimit = 3\nseen = []\n\n\n"
    "def note(word):\n    seen.append(word)\n    return Plan(max_new_tokens=limit)\n",
    "lib/plans.py": "from __future__ import annotations\n\nimport json\nfrom . import base\n"
    "from .base import note as write\n\nname = 'plans'\nlogged = write(name)\n\n\n"
    "class Holder:\n    limit = 5\n\n    def both(self) -> Holder:\n"
    "        return self.limit, base.limit, write('held').max_new_tokens\n\n\n"
    "def show(value):\n    return json.dumps([name, value, len(base.seen)])\n",
    "train.py": '"""Trains."""\n\nimport os\nimport lib.plans as plans\nfrom lib.base import note, '
    "seen as noted\n\nname = 'train'\n\n\ndef main(limit):\n    base = plans.Holder()\n"
    "    print(name, limit, base.both(), f'{plans.name}', f\"{plans.show('x')!r:>30}\")\n"
    "    note(f'{name}')\n    from lib.base import limit as real\n    return real\n\n\n"
    "if __name__ == '__main__':\n    print(main(9), noted, os.sep)\n",
}


def test_the_joined_module_does_what_the_project_does(tmp_path):
    text = text_of(tmp_path, PROGRAM)
    assert "lib" not in text.replace("# From lib/", "")
    (tmp_path / "joined.py").write_text(text)
    printed = [
        subprocess.run(
            [sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for name in ("train.py", "joined.py")
    ]
    assert printed[0].stdout.startswith("train 9 (5, 3, 3) plans"), printed[0].stderr
    assert printed[1].stdout == printed[0].stdout, printed[1].stderr


def test_every_character_that_was_copied_is_where_its_place_says(tmp_path):
    put(tmp_path, PROGRAM)
    joined = join(tmp_path)
    assert isinstance(joined, Joined)
    copied = [piece.is_copy for piece in joined.pieces for _ in piece.text]
    lines = {path.as_posix(): path.read_text().split("\n") for path in tmp_path.rglob("*.py")}
    offset = 0
    for number, line in enumerate(joined.text.split("\n"), start=1):
        for column, character in enumerate(line, start=1):
            path, old, where = joined.place(number, column)
            if copied[offset]:
                assert lines[path][old - 1][where - 1] == character
            offset += 1
        offset += 1


@pytest.mark.parametrize(
    ("module", "script", "line", "reason"),
    [
        ("", "from settings import *\n\nmake('a')", 1, "star import"),
        ("", "import settings\n\nprint(vars(settings), settings.make)", 3, "used as a value"),
        ("", "import settings\n\nsettings.SEED = 1\nsettings.make('a')", 3, "bound again"),
        ("import elsewhere\nfrom elsewhere import *\nPATH = root()",
         "from settings import make, PATH", 3, "cannot be seen"),
        ("", "from settings import make, absent\nmake(absent)", 2, "does not bind `absent`"),
        ("A = 1; B = 2", "from settings import make, A\nmake(A)", 10, "share a line"),
    ],
)  # fmt: skip
def test_what_cannot_come_is_refused_with_its_place(tmp_path, module, script, line, reason):
    if module and "\n" in module:
        put(
            tmp_path,
            {"settings.py": f"{module}\n{SETTINGS}", "train.py": f"{script}\nmake(PATH)\n"},
        )
    else:
        put(tmp_path, {"settings.py": f"{SETTINGS}{module}\n", "train.py": f"{script}\n"})
    refused = join(tmp_path)
    assert isinstance(refused, Refused), getattr(refused, "text", refused)
    assert reason in refused.reason
    assert refused.line == line


def test_a_package_that_runs_something_is_refused(tmp_path):
    put(
        tmp_path,
        {
            "lib/__init__.py": "print('hello')\n",
            "lib/settings.py": SETTINGS,
            "train.py": "from lib.settings import make\n\nmake('a')\n",
        },
    )
    refused = join(tmp_path)
    assert isinstance(refused, Refused)
    assert (Path(refused.path).name, refused.line) == ("__init__.py", 1)


def test_a_result_of_very_many_files_is_refused(tmp_path):
    chain = {
        f"part{number}.py": f"from part{number + 1} import step{number + 1}\n\n\n"
        f"def step{number}():\n    return step{number + 1}()\n"
        for number in range(20)
    }
    last = "from trl import SFTConfig\n\n\ndef step20():\n    return SFTConfig(output_dir='a')\n"
    put(tmp_path, {**chain, "part20.py": last, "train.py": "from part0 import step0\n\nstep0()\n"})
    refused = join(tmp_path)
    assert isinstance(refused, Refused)
    assert refused.reason == "more than 16 files would come"


def test_a_field_of_a_class_that_has_no_value_comes_along(tmp_path):
    lib = (
        "from dataclasses import dataclass\nfrom trl import SFTConfig\n\n\n"
        "@dataclass\nclass Mixture(SFTConfig):\n    datasets: list[str]\n    share: float = 1.0\n"
    )
    script = "import datasets\nfrom lib import Mixture\n\nprint(Mixture(['a']), datasets)\n"
    text = text_of(tmp_path, {"lib.py": lib, "train.py": script})
    assert "    datasets: list[str]\n" in text

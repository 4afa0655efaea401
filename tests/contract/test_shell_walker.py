"""The independent walker of launchers counts what was counted by hand, and what bash passes on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.bash_run import started
from support.cases import FIXTURES, launchers
from support.shell_walker import counts
from support.shell_walker import launches as walked

LAUNCHERS = launchers()
RL, SFT = "python3 -m verl.trainer.main_ppo", "openrlhf.cli.train_sft"
OPTION = re.compile(r"--[A-Za-z][\w.-]*|\+{0,2}[A-Za-z][\w.]*(?==)|~\w+")
TRAINS = re.compile(r"verl\.trainer\.|recipe\.dapo|openrlhf[./]cli[./]train_|main_ppo_search")


def options_of(command: list[str]) -> tuple[str, ...]:
    """Return the names of the options of a training that was started, none for other programs."""
    entry = next((index for index, word in enumerate(command) if TRAINS.search(word)), len(command))
    found = (OPTION.match(word) for word in command[entry + 1 :])
    return tuple(match[0] for match in found if match is not None)


def names(tmp_path: Path, text: str) -> list[list[tuple[str, str]]]:
    """Return (group, name) of the items of each launch."""
    path = tmp_path / "train.sh"
    path.write_text(text, encoding="utf-8")
    return [[(item.group, item.name) for item in items] for items in walked(path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{RL} a.b=1 +c=2 ++d=3 ~e ~f=1", ["a.b", "c", "d", "e", "f"]),
        (f"{RL} a=[1,2] 'b={{x: 1, y: 2}}' c=\"$X y\"", ["a", "b", "c"]),
        (f"{RL} a=1 \\\n  b=$((2 * 3)) \\\n  c=$(date +%s) # d=4", ["a", "b", "c"]),
        (f"# {RL} a=1", None),
        (f"echo '{RL} a=1'", None),
        (f"X=1 {RL} a=1 > log 2>&1 | tee b=2", ["a"]),
        (f"{RL} a=1 2>&1 && rm -f c=3", ["a"]),
        (f"cat <<EOF\n{RL} a=1\nEOF\n{RL} b=1", ["b"]),
        ("python3 -u -m verl.trainer.main_ppo a=1", ["a"]),
        ("python verl/trainer/main_ppo.py a=1", ["a"]),
        ("python3 -m recipe.dapo.main_dapo a=1", ["a"]),
        ("srun --overlap -w \"$head\" python3 -m verl.trainer.main_ppo a=1", ["a"]),
        ("python3 prepare.py a=1", None),
        ("pip install verl.trainer.main_ppo a=1", None),
        (f"MORE='a=1 b=$N'\n{RL} $MORE c=1", ["a", "b", "c"]),
        (f"MORE=(a=1 # one\n b=2)\nMORE+=(d=1)\n{RL} \"${{MORE[@]}}\" c=1", ["a", "b", "d", "c"]),
        (f"read -r -d '' MORE <<EOF\na=1\nb=2 c=3\nEOF\n{RL} $MORE", ["a", "b", "c"]),
        (f"if x; then\n {RL} a=1\nelse\n {RL} b=1\nfi", ["a", "b"]),
        (f"for i in 1 2; do\n N=(a=$i)\n {RL} ${{N[@]}}\ndone", ["a"]),
    ],
)  # fmt: skip
def test_overrides_are_counted_where_they_stand(
    tmp_path: Path, text: str, expected: list[str] | None
) -> None:
    found = [name for items in names(tmp_path, text) for group, name in items]
    assert sorted(found) == sorted(expected or [])
    assert all(group == "override" for items in names(tmp_path, text) for group, _ in items)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"$@"', ['"$@"']),
        ("a=1 $@", ["$@"]),
        ("a=1 $EXTRA b=2", ["$EXTRA"]),
        ('"${EXTRA[@]}"', ['"${EXTRA[@]}"']),
        ("$UNSET", ["$UNSET"]),
    ],
)
def test_words_that_hide_options_are_items_of_their_own(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    script = f'EXTRA="$@"\nif x; then EXTRA="c=1"; fi\n{RL} {text}'
    items = names(tmp_path, script)[0]
    assert [name for group, name in items if group == "rest"] == expected


@pytest.mark.parametrize(
    ("text", "launcher", "flags"),
    [
        (f"deepspeed --module {SFT} --a 1 --b", [], ["--a", "--b"]),
        (f"deepspeed --include x:0 --master_port=1 --module {SFT} --a", 2, ["--a"]),
        (f"torchrun --nnodes 1 -m {SFT} --a -5 5 --b=1", 1, ["--a", "--b"]),
        (f"ray job submit --no-wait --address=x -- python -m {SFT} --a", 2, ["--a"]),
        (f"python -m torch.distributed.run --nnodes 1 -m {SFT} --a $X", 1, ["--a"]),
        (f"read -r -d '' C <<EOF\n{SFT} --a 1\n  --b x\nEOF\ndeepspeed --module $C", 0, None),
        ("python3 -m openrlhf.cli.serve_rm --a 1", None, None),
    ],
)
def test_flags_of_a_launcher_and_of_the_training_are_told_apart(
    tmp_path: Path, text: str, launcher: Any, flags: list[str] | None
) -> None:
    found = names(tmp_path, text)
    if launcher is None:
        assert found == []
        return
    (items,) = found
    assert sum(group == "launcher" for group, _ in items) == (launcher or 0)
    assert [name for group, name in items if group == "flag"] == (flags or ["--a", "--b"])


def test_keys_of_a_named_configuration_are_its_innermost(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    text = "a:\n  b: 1\n  c: {d: 2, e: {}}\nf: [1, 2]\n"
    (tmp_path / "conf" / "mine.yaml").write_text(text, encoding="utf-8")
    (items,) = names(tmp_path, f'{RL} --config-path="$PWD/conf" --config-name mine x=1')
    assert [name for group, name in items if group == "key"] == ["a.b", "a.c.d", "a.c.e", "f"]
    assert [name for group, name in items if group != "key"] == [
        "--config-path",
        "--config-name",
        "x",
    ]


def test_users_module_trains_where_it_imports_the_framework(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from verl import DataProto\n", encoding="utf-8")
    (tmp_path / "other.py").write_text("import verlet\n", encoding="utf-8")
    found = names(tmp_path, "python -m mine a=1\npython mine.py b=1\npython other.py c=1")
    assert found == [[("override", "a")], [("override", "b")]]


def test_places_are_those_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text(f"M=(\n  a=1\n)\n{RL} ${{M[@]}} \\\n 'b=2'\n", encoding="utf-8")
    (items,) = walked(path)
    assert [(item.line, item.column) for item in items] == [(2, 3), (5, 2)]


@pytest.mark.parametrize("case", LAUNCHERS, ids=lambda case: case["id"])
def test_expected_counts_are_what_the_walker_finds(case: dict[str, Any]) -> None:
    assert counts(FIXTURES / case["path"]) == case["expected"]


@pytest.mark.parametrize("case", LAUNCHERS, ids=lambda case: case["id"])
def test_bash_passes_on_as_many_options_as_are_expected(
    case: dict[str, Any], tmp_path: Path
) -> None:
    """What hides behind a `rest` is not counted, so such a command may get more."""
    commands = started(
        FIXTURES / case["path"],
        tmp_path,
        arguments=case.get("arguments", ()),
        environment=case.get("environment", {}),
    )
    # A loop starts the same training more than once.
    given = list(dict.fromkeys(options for command in commands if (options := options_of(command))))
    assert len(given) == len(case["expected"])
    for options, expected in zip(given, case["expected"], strict=True):
        num_options = expected.get("override", 0) + expected.get("flag", 0)
        hidden = len(options) - num_options
        assert hidden >= 0 if "rest" in expected else hidden == 0


def test_every_launcher_has_exactly_one_case() -> None:
    folders = (FIXTURES / "before" / name for name in ("verl", "openrlhf"))
    files = [path for folder in folders for path in folder.rglob("*.sh")]
    # What launchers source is started by none.
    files = [path for path in files if path.parent.name != "settings"]
    paths = sorted(path.relative_to(FIXTURES).as_posix() for path in files)
    assert sorted(case["path"] for case in LAUNCHERS) == paths
    assert len({case["id"] for case in LAUNCHERS}) == len(LAUNCHERS)

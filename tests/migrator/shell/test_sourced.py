"""What a shell script sources is read where it lies, and never run."""

from __future__ import annotations

import pytest
from mint_migrate.launches.commands import find_launches
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import ShellScript, read_shell
from mint_migrate.shell.words import Word

ENV = "A=1\nB='x y'\nL=(--p 2)\nfn() { C=$1; }\n"
HERE = 'HERE="$( cd "$( dirname "${BASH_SOURCE[0]}" )" >/dev/null 2>&1 && pwd )"\n'


def shown(text: str, **files: str) -> tuple[ShellScript, tuple[Word, ...]]:
    """Return a script and the words of its last `show`; in names of files `__` is a slash."""
    named = {f"{name.replace('__', '/')}.sh": body for name, body in files.items()}
    shell = read_shell(text, named.get)
    command = [item for item in shell.commands if item.words[0].text == "show"][-1]
    return shell, shell.filled_in(command.words[1:], command)


@pytest.mark.parametrize(
    "command",
    [
        "source env.sh",
        ". ./env.sh",
        'source "$(dirname "$0")/env.sh"',
        "source $(dirname $(realpath $0))/env.sh",
        'source "${0%/*}/env.sh"',
        f'{HERE}source "$HERE/env.sh"',
        'D=$(dirname "$0")\nD=$(realpath "$D/sub/..")\n. "$D/env.sh"',
        'cd "$(dirname "$0")" || exit 1\nsource env.sh',
        'cd "$SLURM_SUBMIT_DIR"\nsource $PWD/env.sh',
        "NAME=env\nsource ./$NAME.sh",
        "[ -f env.sh ] && source env.sh",
        "if [[ ! -f env.sh ]]; then A=9; exit 1; fi\nset -a; source env.sh; set +a",
        "load() { source env.sh; }\nload 7",
        "source sub/../env.sh 7 8",
    ],
)
def test_a_path_that_the_text_shows_is_followed(command: str) -> None:
    shell, words = shown(f'{command}\nfn 3\nshow $A "$B" "${{L[@]}}" $C', env=ENV)
    assert [word.text for word in words] == ["1", "x y", "--p", "2", "3"]
    assert shell.pages.unread == {}


@pytest.mark.parametrize(
    "command",
    [
        "source env2.sh",
        "source $X/env.sh",
        "source /env.sh",
        "source ~/env.sh",
        "cd /data\nsource env.sh",
        "cd $X && . ./env.sh",
        "source <(cat env.sh)",
        "source ${D:-.}/env.sh",
        "for f in env other; do source $f.sh; done",
    ],
)
def test_any_other_path_stays_open(command: str) -> None:
    shell, words = shown(f"{command}\nshow $A", env=ENV)
    assert words[0].text is None
    assert not words[0].parts[0].is_inherited
    assert len(shell.pages.unread) == 1


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("A=1\nsource env.sh\nA=2", ["2"]),
        ('[ -n "$DONE" ] && return\nDONE=1\nsource env.sh\nA=2', [None]),
        ("DONE=1\nif [ $DONE = 1 ]; then A=2; return; fi\nA=3", ["2"]),
        ('. "$(dirname "$BASH_SOURCE")/sub/more.sh"', ["7"]),
        ("if [ $X = 1 ]; then A=2; return; fi\nA=3", [None]),
    ],
)
def test_files_that_source_files_and_return_are_followed(env: str, words: list[str]) -> None:
    _, found = shown("source env.sh\nshow $A", env=env, sub__more="A=7")
    assert [word.text for word in found] == words


def test_a_function_that_returns_early_sets_what_it_set_before() -> None:
    _, words = shown("f() { A=1; [ $1 = x ] && return; A=2; }\nf $1\nshow $A")
    assert words[0].text is None


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("A=$1", ["a b"]),
        ("set -- 7", ["7"]),
        ("[ $X = 1 ] && set -- 7", [None]),
        ("shift", ["a b"]),
    ],
)
def test_arguments_of_a_sourced_file_are_its_own_unless_it_sets_them(
    env: str, words: list[str | None]
) -> None:
    _, found = shown("set -- 'a b'\nsource env.sh c d\nshow \"$1\"", env=env)
    assert [word.text for word in found] == words


def test_what_sourced_files_keep_secret_is_not_written_down() -> None:
    text = "source env.sh\nshow $WANDB_API_KEY $PAD_TOKENS"
    _, words = shown(text, env="export WANDB_API_KEY=sk-1 PAD_TOKENS=3")
    assert [word.text for word in words] == [None, "3"]
    assert words[0].parts[0].is_inherited


def test_options_of_a_sourced_file_stand_there() -> None:
    text = 'source conf/a.sh\npython3 -m verl.trainer.main_ppo x.m=$M y=1 "${L[@]}"\n'
    files = {"conf/a.sh": "# shared\nM=m1\nL=(a.b=1\n  c.d=$M)\n"}
    shell = read_shell(text, files.get)
    (launch,) = find_launches(shell, Places(text, shell.pages))
    places = [(flag.name, flag.path, flag.span.line, flag.origins) for flag in launch.flags]
    assert places == [
        ("x.m", "", 2, ("line 2 of conf/a.sh",)),
        ("y", "", 2, ()),
        ("a.b", "conf/a.sh", 3, ()),
        ("c.d", "conf/a.sh", 4, ()),
    ]
    assert text[launch.start : launch.end].startswith("python3")


def test_a_value_from_another_file_is_no_part_of_the_flag_before_it() -> None:
    text = "source a.sh\npython -m openrlhf.cli.train_sft --pretrain $M --x 1\n"
    shell = read_shell(text, {"a.sh": "M=m1\n"}.get)
    (launch,) = find_launches(shell, Places(text, shell.pages))
    flag = launch.flags[0]
    assert (flag.span.line, flag.span.end_line, flag.source_text) == (2, 2, "--pretrain $M")
    assert flag.origins == ("line 1 of a.sh",)

"""A shell script is read as bash reads it, without running it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from mint_migrate.launches.commands import find_launches, hidden_commands
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import ShellScript, read_shell
from mint_migrate.shell.words import Part, PartKind, Word
from support.bash import printed, read
from support.shell_scripts import anything, script, sourcing


def shown(text: str) -> tuple[Word, ...]:
    """Return the words that the last `show` command of a script is given."""
    shell = read_shell(text)
    command = [item for item in shell.commands if item.words[0].text == "show"][-1]
    return shell.filled_in(command.words[1:], command)


def written(part: Part) -> str:
    """Return a part as short text."""
    if part.kind is PartKind.TEXT:
        return part.text
    mark = "!" if part.is_inherited else ""
    default = f":{part.default}" if part.operator and part.default is not None else ""
    default = f":{''.join(map(written, part.fallback))}" if part.fallback else default
    return f"<{part.text}{default}{mark}>"


def texts(text: str) -> list[str]:
    """Return the words of the last `show` command, `<name>` for what only the shell knows."""
    return ["".join(map(written, word.parts)) for word in shown(text)]


@settings(max_examples=40, deadline=None)
@given(script)
def test_words_of_a_static_script_are_those_of_bash(text: str) -> None:
    ours, theirs = read(text), printed(text)
    # A number that does not fit, or a division by zero, is not known; bash goes on differently.
    if any(None in words for words in ours):
        return
    assert ours == theirs


@settings(max_examples=40, deadline=None)
@given(sourcing)
def test_what_a_script_sources_counts_as_in_bash(case: tuple[str, dict[str, str]]) -> None:
    text, files = case
    ours, theirs = read(text, files), printed(text, files)
    if any(None in words for words in ours):
        return
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        'show $a "${a:=x}" $a',
        "A=${X:=d} C=$X\nshow $A $C",
        'show "${E:=q r}" $E',
        "f() { show $1 $2; }\nf $z ${z:=1}\nshow $z",
        "X=${Y:=2} show $Y\nshow $Y",
        "show ${a:-${b:=1}} $b",
        "show {a,'b c'} a{b,\"c d\"e,f}g",
        "show x{a,{b,c}}y{1..2} {a,b}{,z} {} {a} x{,} {{a,b} {a,b",
        'B="1 2"\nshow {$B,"$B"}',
        "show {a\\,b,c} \\{a,b} {a,b\\} '{a,b}'",
        "export A={a,b}\nB={a,b}\nL=({a,'b c'})\nshow $A $B \"${L[@]}\"",
    ],
)
def test_defaults_and_braces_are_those_of_bash(text: str) -> None:
    text = f"unset a b z A B E X Y\n{text}"
    assert read(text) == printed(text)


@settings(max_examples=300, deadline=None)
@given(anything)
@example("x=${nodes[0]} show ${nodes[0]}")
@example("${a:-" * 400)
@example("$(" * 400 + '"')
@example('"$(' * 400)
@example("if " * 300)
@example("((" * 300)
@example("{ " * 300 + "a")
@example("f() { f; f; f; }; f")
@example("for i in {1..9}{1..9}{1..9}{1..9}; do a=$i$a; done")
def test_no_text_is_too_odd(text: str) -> None:
    shell = read_shell(text)
    launches = find_launches(shell, Places(text))
    hidden_commands(shell, launches)
    for launch in launches:
        assert 0 <= launch.start <= launch.end <= len(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=1\nA=2\nshow $A\nA=3", ["2"]),
        ("X=${X:-d}\nshow $X $X/y", ["<X:d!>", "<X:d!>/y"]),
        (": ${X:=d}\nshow $X", ["<X:d!>"]),
        ("D=${D:-$HOME/data}\nF=$D/a.parquet\nshow $F", ["<D:<HOME!>/data!>/a.parquet"]),
        ("show ${1:?usage} ${X:?no}", ["<1>", "<X!>"]),
        ("E=\nshow \"${E:-'q r'}\" ${E:-'q r'}", ["'q r'", "q r"]),
        ('E=\nshow "${E:-a \\"b\\} \\\'c}"', ["a \"b} \\'c"]),
        ('A=\nshow ${A:-b "c d" e\\ f}', ["b", "c d", "e f"]),
        ("A=1\nshow ${A:-{x}}", ["1}"]),
        ('A=1\nE=\nshow ${A:+--run "a $A"} ${E:+--no} "${E:+no}"', ["--run", "a 1", ""]),
        ('N=1\nshow $(("1" + N))', ["2"]),
        ("M=/m/Qwen3-0.6B/\nshow ${M%/} ${M##*/} ${M#/m/}", ["/m/Qwen3-0.6B", "Qwen3-0.6B/"]),
        ("A=4\nB=8\nshow $((A*B+1)) $(((A+B)*2)) $((A*N))", ["33", "24", "<$((A*N))>"]),
        ("A=(--x 1)\nA+=(--y '2 3')\nshow \"${A[@]}\" ${#A[@]}", ["--x", "1", "--y", "2 3", "4"]),
        ('E="--a 1 --b 2"\nshow $E "$E"', ["--a", "1", "--b", "2", "--a 1 --b 2"]),
        ('show "$@" $1 ${2} ${10}', ["<@>", "<1>", "<2>", "<10>"]),
        ("L=$(date)\nshow $L x$L", ["<L>", "x<L>"]),
        ("N=$(basename /a/b.sh .sh)_$(dirname x/y)\nshow $N", ["b_x"]),
        ("export A=1 B\nshow $A $B", ["1", "<B!>"]),
        ("A=$RANDOM\nshow $A $HOSTNAME $USER", ["<A>", "<HOSTNAME>", "<USER!>"]),
        ("source env.sh\nshow $D", ["<D>"]),
        ("set -a; A=$(x); set +a\nshow $A", ["<A!>"]),
        ("export A\nA=$(x)\nshow $A", ["<A!>"]),
        ("A=$PWD/x\ncd y\nshow $A $PWD", ["<A>", "<PWD!>"]),
        ("A=$1\nB=$A/x\nshow $B", ["<B>"]),
        ("A=1; unset A\nshow ${A:-3} [$A]", ["3", "[]"]),
        ("show a\\\n  b # c \\\nshow d", ["d"]),
        ("K=name; name=v\nshow ${!K}", ["v"]),
        ("IFS=, read -r A B <<< 'x,y'\nshow $A", ["<A>"]),
        ("T=2024\nshow exp_${T:2:2}_${T: -1}", ["exp_24_4"]),
        ("N=Qwen\nshow ${N,,} ${N^^} ${N/Q/K}", ["qwen", "QWEN", "Kwen"]),
        ("printf -v A '%s' x\nshow $A", ["<A>"]),
    ],
)
def test_values_are_filled_in_where_they_are_known(text: str, words: list[str]) -> None:
    assert texts(text)[: len(words)] == words


@pytest.mark.parametrize(
    ("text", "words", "candidates"),
    [
        ("if [ $1 = x ]; then A=1; else A=2; fi", ["<A>"], ("1", "2")),
        ("A=0\nif [ $1 = x ]; then A=1; fi", ["<A>"], ("0", "1")),
        ('A=0\n[ -n "$1" ] && A=1', ["<A>"], ("0", "1")),
        ("B=m\nif [[ $B == m* ]]; then A=1; else A=2; fi", ["1"], ("1",)),
        ("case $1 in a) A=1;; b) A=2;; *) exit 1;; esac", ["<A>"], ("1", "2")),
        ("M=b\ncase $M in a) A=1;; b|c) A=2;; esac", ["2"], ("2",)),
        ("A=1\nif [ $# -lt 2 ]; then A=9; exit 1; fi", ["1"], ("1", "9")),
        ("for A in 1e-5 1e-6; do", ["<A>"], ("1e-5", "1e-6")),
        ("for A in 42; do", ["42"], ("42",)),
        ("for s in 1 2; do A=e_$s", ["<A>"], ()),
        ("A=1\nwhile read -r x; do A=2; done < f", ["<A>"], ("1", "2")),
        ("A=1\n(A=2)\nA=3 true", ["1"], ("1", "2")),
        ("f() { A=$1; }\nf 7", ["7"], ("7",)),
        ("f() { local A=2; }\nA=1\nf", ["1"], ("1", "2")),
        ("A=1\nf() { A=2; }", ["1"], ("1", "2")),
        ("A=1 && true || A=2", ["1"], ("1",)),
        ("((A=3))", ["<A>"], ()),
    ],
)
def test_ways_through_a_script_are_told_apart(
    text: str, words: list[str], candidates: tuple[str, ...]
) -> None:
    closing = "\ndone" if text.startswith("for") else ""
    text = f"{text}\nshow $A{closing}\n"
    assert texts(text) == words
    assert read_shell(text).candidates("A") == candidates


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ('E="--a 1 \\\n  --b $X"\nshow $E', ["--a", "1", "--b", "$X"]),
        ("A=(\n  a.b=1 # why\n  c.d='2'\n)\nshow \"${A[@]}\"", ["a.b=1", "c.d='2'"]),
        ("read -r -d '' T <<EOF\nm \\\n  --x 1\nEOF\nshow $T", ["m", "--x", "1"]),
        ("T=$(cat <<'EOF'\nm --x 1\nEOF\n)\nshow $T", ["$(cat <<'EOF'\nm --x 1\nEOF\n)"] * 3),
        ('A="a.b=1"\nB="$A c.d=$Y"\nshow $B e', ["a.b=1", "c.d=$Y", "e"]),
        ("L=5\nshow x.y=$L 'a b'\"c\"", ["x.y=$L", "'a b'\"c\""]),
        ('E="--a $(date) --b"\nshow $E', ["$E"]),
        ('E="a.b=$(date) c.d=2"\nshow $E', ["a.b=$(date)", "c.d=2"]),
    ],
)
def test_words_stand_where_they_are_written(text: str, pieces: list[str]) -> None:
    words = shown(text)
    assert [text[word.start : word.end] for word in words] == pieces
    assert [word.source for word in words] == pieces


def test_a_piece_that_the_shell_computes_is_counted_by_the_shell() -> None:
    """The expression stands in the converted launcher, and bash gives the piece's value."""
    text = 'E="a.b=$(echo x y | cut -c1) c.d=2"\nshow $E\n'
    part = shown(text)[0].parts[1]
    assert part.kind is PartKind.OPAQUE
    assert printed(text.replace("show $E", f'show "{part.text}"')) == [["x"]]


def test_a_command_behind_an_exit_is_not_reached() -> None:
    shell: ShellScript = read_shell("if true; then show 1; else show 2; fi\nexit 0\nshow 3\n")
    reached = [shell.is_reached(item) for item in shell.commands if item.words[0].text == "show"]
    assert reached == [True, False, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("show a > >(tee log) 2>&1", ["a"]),
        ("show a 2> >(tee log >&2) b", ["a", "b"]),
        ("show a < <(cat log)", ["a"]),
        ("show a &> >(tee log) &", ["a"]),
    ],
)
def test_what_another_command_reads_is_no_argument(text: str, words: list[str]) -> None:
    assert texts(text) == words

"""Harmless shell scripts for property tests: they assign, decide, loop and show words."""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = ("a", "B", "lr", "X_1")
START = (
    "HOME=/home/ada\na=abc\nB='two words'\nlr=1e-4\nX_1=/x/y.tar.gz\nN=4\narr=(p 'q r')\n"
    "set -f\nset -- A 'B C'\n"
)
_BARE = (
    *("abc", "1e-4", "Qwen/Qwen3-0.6B", "x.tar.gz", "7", "a=b", "--flag", "True", "[1,2]"),
    "/data/train.parquet",
)
_IN_QUOTES = (*_BARE, "", "  two words ", "it*s?", "{a:1}", "\\$", '\\"', "'", "#", ";", "\\\n")
_DEFAULTS = (
    "d",
    "$a",
    "'q r'",
    '"x y"',
    "${B}z",
    "{x}",
    "~/x",
    "x\\ y",
    "\\'",
    '\\"',
    "\\}",
    "$'q'",
)
_PATTERNS = ("*", "/*", "*/", "a", "?", "[a-c]", "*.", "'*'", "e", "-*", "/", ".*")

name = st.sampled_from(NAMES)
bare = st.sampled_from(_BARE)
pattern = st.sampled_from(_PATTERNS)


def _arithmetic(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(["1", "2", "10", "0x1F", "N", "$N", "${N}", "(N+1)", "010", "(N<<2)"])
    if depth == 0:
        return leaf
    operator = st.sampled_from(["+", "-", "*", " / ", " % ", " == ", "<", " && ", " || "])
    inner = _arithmetic(depth - 1)
    return st.builds(lambda left, sign, right: left + sign + right, inner, operator, inner)


expansion = st.one_of(
    st.builds("${{{}}}".format, name),
    st.builds("${{{}:-{}}}".format, name, st.sampled_from(_DEFAULTS)),
    st.builds("${{{}{}{}}}".format, name, st.sampled_from(["%", "%%", "#", "##"]), pattern),
    st.builds("${{#{}}}".format, name),
    st.builds("${{{}{}}}".format, name, st.sampled_from(["^^", ",,", "^", ","])),
    st.builds(
        "${{{}{}{}/{}}}".format,
        name,
        st.sampled_from(["/", "//", "/#", "/%"]),
        st.sampled_from(["a", "[a-c]", "?", "\\/", "."]),
        st.sampled_from(["Z", "", "y z", "$lr"]),
    ),
    st.builds(
        "${{{}:+{}}}".format, name, st.sampled_from(["alt", "'q r'", '--x "$a"', "~/x", "p\\ $B"])
    ),
    st.builds("${{{}-none}}".format, name),
    st.builds("${{{}{}{}}}".format, name, st.sampled_from([":=", "="]), st.sampled_from(_DEFAULTS)),
    st.builds("${{{}:{}:{}}}".format, name, st.integers(0, 3), st.integers(0, 4)),
    st.builds("$(({}))".format, _arithmetic(2)),
    st.sampled_from(
        ["$(echo hi)", "$(echo $a)", '$(echo "$B")', "$(basename /x/y.z .z)", '$(dirname "$a")']
    ),
    st.sampled_from(["${arr[1]}", "${#arr[@]}", "$#", "$2", "${arr[N-3]}", "`echo $a`"]),
)
quoted = st.lists(st.one_of(st.sampled_from(_IN_QUOTES), expansion, st.just(" ")), max_size=3).map(
    lambda pieces: f'"{"".join(pieces)}"'
)
_piece = st.one_of(
    bare,
    bare,
    quoted,
    st.sampled_from(["'a b'", "''", "\\ ", "$'a\\tb'", "'$a'", "~/x", "\\\n"]),
    expansion,
)
word = st.lists(_piece, min_size=1, max_size=3).map("".join)
_item = st.one_of(
    *(
        bare,
        quoted,
        st.sampled_from(["", "'x y'", "$a", "${B}", "\\,", "\\{", "{p,q}", "{u,'v w'}"]),
    ),
    st.sampled_from(["{1..3}", "{b..a}", "{", "{x}", "{,}"]),
)
_braces = st.lists(_item, min_size=1, max_size=3).map(lambda items: f"{{{','.join(items)}}}")
_shown = st.one_of(
    word,
    word,
    st.sampled_from(
        ['"${arr[@]}"', "${arr[@]}", '"$@"', 'x"${arr[@]}"y', "x{p,q}", "{1..3}", "$@"]
    ),
    _braces,
    st.builds("{}{}".format, _braces, word),
    st.builds('"${{E:={}}}" $E "$E"'.format, st.sampled_from(_DEFAULTS)),
)
_show = st.lists(_shown, min_size=1, max_size=4).map(lambda words: f"show {' '.join(words)}")
_assignment = st.one_of(
    st.builds("{}={}".format, name, st.one_of(quoted, word, bare)),
    st.builds("{}+={}".format, name, quoted),
    st.builds("arr=({} {} # c\n {})".format, word, quoted, word),
    st.builds("arr+=({})".format, word),
    st.builds("export {}={}".format, name, quoted),
    st.builds(": ${{{}:=zz}}".format, name),
    st.builds("unset {}".format, st.sampled_from([*NAMES, "E"])),
    st.builds("set -- {} {}".format, word, quoted),
    st.just("shift"),
    st.builds("read -r -d '' lr <<EOF\n {} $a \\$b\n{}  \nEOF".format, bare, bare),
    st.builds("lr=$(cat <<EOF\nit's $a)\nEOF\n)".format),
)
condition = st.one_of(
    st.builds('[ "${}" = "{}" ]'.format, name, bare),
    st.builds("[[ ${} == {} ]]".format, name, pattern),
    st.builds('[ -z "${}" ]'.format, name),
    st.builds("[ $N -gt {} ]".format, st.integers(1, 9)),
    st.builds("[[ $N -lt 5 || ${} != abc ]]".format, name),
    st.builds("(( N > {} ))".format, st.integers(1, 9)),
    st.builds("! [ $N = {} ]".format, st.integers(3, 5)),
    st.builds("[[ ${} =~ ^[a-z]+$ ]]".format, name),
)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    block = st.lists(inner, min_size=1, max_size=3).map("\n".join)
    return st.one_of(
        st.builds(
            "if {}; then\n{}\nelif {}\nthen {}\nelse\n {}\nfi".format,
            *(condition, block, condition, block, block),
        ),
        st.builds(
            'case "${}" in\n abc|7) {}\n;;\n {}) {}\n;;\n *) {}\nesac'.format,
            *(name, block, pattern, block, block),
        ),
        st.builds("{} && {{ {}\n}}".format, condition, block),
        st.builds("for i in {}; do {}\ndone".format, bare, block),
        st.builds("( {}\n)".format, block),
        st.builds("f() {{ local a=$1\n{}\n}}\nf {} {}\nf() {{ :; }}".format, block, word, word),
    )


statement = st.recursive(st.one_of(_show, _show, _assignment), _nested, max_leaves=6)
script = st.lists(statement, min_size=2, max_size=6).map(
    lambda statements: START + "\n".join(statements) + "\n"
)
_SOURCES = (
    *("source env.sh", ". ./env.sh", 'source "$(dirname "$0")/env.sh"', ". conf/more.sh 7 'x y'"),
    'HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)\nsource "$HERE/conf/more.sh"',
    "[ -f env.sh ] && . env.sh",
    "if [[ ! -f conf/more.sh ]]; then exit 1; fi\nsource conf/more.sh",
    "f() { source env.sh; }\nf 1 2\nf() { :; }",
    "for i in 1 2; do B=$a$B; source env.sh; done",
    "( . conf/more.sh )",
    "cd conf\n. ./more.sh\ncd ..",
)
_RETURNS = st.builds("{} && return 0".format, condition)
_quiet = st.recursive(st.one_of(_assignment, _assignment, _RETURNS), _nested, max_leaves=4)
_file = st.lists(_quiet, min_size=1, max_size=4).map("\n".join)
sourcing = st.tuples(
    st.lists(st.one_of(statement, st.sampled_from(_SOURCES)), min_size=2, max_size=6).map(
        lambda statements: START + "\n".join(statements) + '\nshow $a "$B" $lr $X_1 "$@"\n'
    ),
    st.fixed_dictionaries(
        {
            "env.sh": _file,
            "conf/more.sh": st.one_of(
                _file,
                _file.map('. "$(dirname "$BASH_SOURCE")/../env.sh"\n{}'.format),
            ),
        }
    ),
)
"""A script, and the files that it sources, by path."""
_ODD = (
    *("if ", "then", "fi", "for x in ", "do ", "done", "case ", " in", "esac", ";;", "(", ")"),
    *("{", "}", "[[", "]]", "((", "))", "$(", "${", "`", "'", '"', "\\", "<<EOF\n", "EOF\n"),
    *("<<-'E'\n", "\n", " ", ";", "&", "|", "||", "&&", "#", "=", "a=", "a+=(", "${a[0]}"),
    *("${a", ":-", "${a//", "%%", "$a", "$((", "1+", "function", "f()", "!", "<(", ">", "2>&1"),
    *("eval ", "set -- ", "shift 3", "read x", "\t", "~", "python -m verl.trainer.main_ppo "),
    *("a.b=1 ", "--x ", "bash -c ", "ray job submit ", "torchrun ", "\x00", "{a,b}", "{1..9}"),
    *("[a-", "*", "$'", "local ", "trl sft "),
)
anything = st.lists(st.one_of(st.sampled_from(_ODD), st.text(max_size=3)), max_size=30).map("".join)

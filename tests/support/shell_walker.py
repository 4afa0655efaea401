r"""What launchers of verl and OpenRLHF hold, counted apart from the program.

A *launch* is a simple command that runs, by itself or behind launchers (`torchrun`, `deepspeed`,
`python -m torch.distributed.run`, `ray job submit ... --`) and behind programs that only pass it on
(`srun`, `env`, `exec`, ...), an entry point of verl or OpenRLHF, or a Python file beside the shell
script that imports one of them. Of each launch these are one item each:

- `launcher`: a flag (`--x`, `--x=y`, `-x`) of a launcher, but not the `-m` or `--module` before the
  entry point;
- `override`: of verl a word `key=value`, with or without `+` or `++` before it, or `~key`;
- `flag`: a word `--x` or `--x=y` behind the entry point; of verl those of Hydra itself;
- `rest`: a word that stands for options which the text does not show: `$@`, `"${more[@]}"`, `$x`;
- `key`: an innermost key of the YAML file that `--config-name` (with `--config-path`) names; a list
  and an empty mapping are innermost.

An array or unquoted variable is looked through where every way to the command gives it the same
value: it is assigned before, in a block that the command is in too, and nowhere in another block.
Then the pieces of its value count, each where it stands; a here-document that `read` or `cat` puts
into a variable is such a value, and so is what a file assigns that the script sources by the end of
a path that is written out (`source "$HERE/conf/env.sh"`); its pieces stand in that file. If what a
variable holds is one expansion, the variable's word is
the item. Two launches that share an array have each of its pieces once each.

Places are line and column of the first character, both from 1; of a quoted word those of its quote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from support.shell_mask import mask

_ENTRY = re.compile(
    r"(?:verl[./]trainer[./]"
    r"(?:main_ppo(?:_v0)?|fsdp_sft_trainer|sft_trainer|main_generation|main_eval)"
    r"|recipe[./]dapo[./]main_dapo|openrlhf[./]cli[./]train_\w+)(?:\.py)?$"
)
_LAUNCHERS = {"torchrun", "deepspeed", "torch.distributed.run", "torch.distributed.launch"}
_FLAG = re.compile(r"--?[A-Za-z]")
_OVERRIDE = re.compile(r"(?:\+{0,2}[A-Za-z_][\w.@/-]*=|~[A-Za-z_])")
_REFERENCE = re.compile(r'"?\$(?:\{(\w+|@)(?:\[[@*]\])?(?::-)?\}|(\w+|@|\*))"?$')
_OPENS = {"if", "for", "while", "until", "case", "{", "select"}
_CLOSES = {"fi", "done", "esac", "}"}
_TURNS = {"elif", "else", ";;"}
_DEEPEST = 5
"""Variables in variables that are looked through."""

_IMPORTS = re.compile(r"^\s*(?:from|import)\s+(?:verl|openrlhf)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a decision is due for."""

    group: str
    name: str
    line: int
    column: int
    path: str = ""
    """The YAML or sourced file it stands in; empty for the shell script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of the script: its text as written, and where it starts."""

    text: str
    start: int
    path: str = ""


@dataclass(slots=True)
class _Command:
    words: list[Word]
    block: tuple[int, ...]


@dataclass(slots=True)
class _Assigned:
    start: int
    block: tuple[int, ...]
    pieces: list[Word]
    appends: bool = False


@dataclass(slots=True)
class _Script:
    text: str
    masked: str
    documents: dict[int, tuple[int, int]]
    """Offset of a `<<` -> extent of its body."""
    commands: list[_Command] = field(default_factory=list)
    assigned: dict[str, list[_Assigned]] = field(default_factory=dict)
    sourced: dict[str, str] = field(default_factory=dict)
    """Path of a sourced file -> its text."""


def launches(path: Path) -> list[list[Item]]:
    """Return the items of every launch of a shell script, launches in the order of the text."""
    text = path.read_text(encoding="utf-8")
    script = _read(text, path.parent)
    found = []
    for command in script.commands:
        items = _items(script, command, path.parent)
        if items is not None:
            found.append(sorted(items, key=lambda item: (item.path, item.line, item.column)))
    return found


def counts(path: Path) -> list[dict[str, int]]:
    """Return how many items of each group every launch of a shell script has."""
    return [dict(sorted(Counter(item.group for item in items).items())) for items in launches(path)]


def _items(script: _Script, command: _Command, folder: Path) -> list[Item] | None:
    """Return the items of a command, None where it is no launch."""
    words = list(_looked_through(script, command.words, command))
    entry = next(
        (index for index, word in enumerate(words) if _is_entry(words, index, folder)), None
    )
    if entry is None:
        return None
    is_verl = "openrlhf" not in words[entry].text
    text = script.text
    options = words[entry + 1 :]
    found = [("launcher", word) for word in _launcher_flags(words[:entry])]
    found += [(group, word) for group, word in _options(options, is_verl=is_verl)]
    items = [_item(script.sourced.get(word.path, text), group, word) for group, word in found]
    return items + (list(_keys(options, folder)) if is_verl else [])


def _is_entry(words: Sequence[Word], index: int, folder: Path) -> bool:
    """Say whether a word is what Python is to run, and is known to train."""
    text = words[index].text
    before = [word.text for word in words[:index]]
    runs = any(re.fullmatch(r"(?:.*/)?python[\d.]*", item) or item in _LAUNCHERS for item in before)
    if not runs or not re.fullmatch(r"[\w./-]+", text):
        return False
    if _ENTRY.search(text):
        return True
    is_module = before[-1] in {"-m", "--module"}
    if not is_module and not text.endswith(".py"):
        return False
    file = folder / (text.replace(".", "/") + ".py" if is_module else text)
    return file.is_file() and bool(_IMPORTS.search(file.read_text(encoding="utf-8")))


def _launcher_flags(words: Sequence[Word]) -> Iterator[Word]:
    """Yield the flags of launchers: behind `ray job submit` up to `--`, behind the others all."""
    texts = [word.text for word in words]
    inside = False
    for index, word in enumerate(words):
        if texts[index - 2 : index + 1] == ["ray", "job", "submit"] or word.text in _LAUNCHERS:
            inside = True
        elif word.text == "--":
            inside = False
        elif inside and _FLAG.match(word.text) and word.text not in {"-m", "--module"}:
            yield word


def _options(words: Sequence[Word], *, is_verl: bool) -> Iterator[tuple[str, Word]]:
    takes_value = False
    for word in words:
        bare = word.text.lstrip("\"'")
        if is_verl and _OVERRIDE.match(bare):
            yield "override", word
        elif re.match(r"--[A-Za-z]", bare):
            yield "flag", word
            takes_value = "=" not in word.text
            continue
        elif _is_rest(word.text, behind_flag=takes_value, is_verl=is_verl):
            yield "rest", word
        takes_value = False


def _is_rest(text: str, *, behind_flag: bool, is_verl: bool) -> bool:
    """Say whether a word that is no option stands for some.

    Of verl every such word does. Flags have values: there it is a list, or `$x` behind a value.
    """
    if is_verl:
        return not behind_flag
    is_list = re.fullmatch(r'"?\$(?:@|\*|\{@\}|\{\w+\[[@*]\]\})"?', text) is not None
    return is_list or (not behind_flag and re.fullmatch(r"\$\{?\w+\}?", text) is not None)


def _keys(options: Sequence[Word], folder: Path) -> Iterator[Item]:
    """Yield the innermost keys of the YAML file that Hydra's flags name."""
    given: dict[str, str] = {}
    for index, word in enumerate(options):
        name, equals, value = word.text.partition("=")
        if name in {"--config-path", "--config-name"}:
            behind = options[index + 1].text if not equals and index + 1 < len(options) else ""
            given[name] = (value if equals else behind).strip("\"'")
    if "--config-name" not in given:
        return
    # A path is written from where the script runs: its own folder.
    where = re.sub(r"^\$(?:\{?\w+\}?|\([^)]*\))/?", "", given.get("--config-path", "."))
    name = given["--config-name"].removesuffix(".yaml")
    file = folder / where / f"{name}.yaml"
    shown = file.relative_to(folder).as_posix()
    node = yaml.compose(file.read_text(encoding="utf-8"))
    for key, place in _leaves(node, ""):
        yield Item(group="key", name=key, line=place.line + 1, column=place.column + 1, path=shown)


def _leaves(node: yaml.Node | None, prefix: str) -> Iterator[tuple[str, yaml.Mark]]:
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, key.start_mark


def _item(text: str, group: str, word: Word) -> Item:
    name = word.text if group == "rest" else re.split(r"=", word.text.strip("\"'"), maxsplit=1)[0]
    line = text.count("\n", 0, word.start) + 1
    column = word.start - text.rfind("\n", 0, word.start)
    return Item(group=group, name=name.lstrip("+~"), line=line, column=column, path=word.path)


def _looked_through(
    script: _Script, words: Sequence[Word], command: _Command, depth: int = 0
) -> Iterator[Word]:
    """Yield words with those that stand for known lists replaced by the pieces of the list."""
    for word in words:
        match = _REFERENCE.fullmatch(word.text)
        name = (match[1] or match[2]) if match else None
        is_string = word.text.startswith('"') and "[" not in word.text
        pieces = _value(script, name, word, command) if name and not is_string else None
        if pieces is None or depth > _DEEPEST or _is_one_expansion(pieces):
            yield word
        else:
            yield from _looked_through(script, pieces, command, depth + 1)


def _is_one_expansion(pieces: Sequence[Word]) -> bool:
    return len(pieces) == 1 and "$" in pieces[0].text and "=" not in pieces[0].text


def _value(script: _Script, name: str, word: Word, command: _Command) -> list[Word] | None:
    """Return the pieces of a variable's value, None where not every way gives the same."""
    result: list[Word] | None = None
    end = max(item.start for item in command.words)
    for item in script.assigned.get(name, ()):
        if item.start > end:
            continue
        if item.block != command.block[: len(item.block)]:
            return None
        result = [*(result or ()), *item.pieces] if item.appends else list(item.pieces)
    return result


def _read(text: str, folder: Path) -> _Script:
    """Take a script apart into commands and assignments, those of sourced files included."""
    masked, documents = mask(text)
    script = _Script(text=text, masked=masked, documents=documents)
    block: list[int] = []
    for start, end in _command_extents(masked):
        words = _words(text, masked, start, end)
        _follow_blocks(words, block)
        if words and words[0].text in {"source", "."}:
            _source(script, words, tuple(block), folder)
        _take(script, words, tuple(block))
    return script


def _source(script: _Script, words: list[Word], block: tuple[int, ...], folder: Path) -> None:
    """Take over what a sourced file assigns, as if where it is sourced."""
    written = re.search(r"(?:^|[/)}])([\w.-]+(?:/[\w.-]+)*)\"?$", words[1].text)
    if written is None or not (folder / written[1]).is_file():
        return
    path = written[1]
    script.sourced[path] = (folder / path).read_text(encoding="utf-8")
    inner = _read(script.sourced[path], folder)
    for name, values in inner.assigned.items():
        script.assigned.setdefault(name, []).extend(
            replace(
                each,
                start=words[0].start,
                block=block,
                pieces=[replace(piece, path=path) for piece in each.pieces],
            )
            for each in values
        )


def _follow_blocks(words: list[Word], block: list[int]) -> None:
    """Keep track of the blocks a command is in, and drop the words that only say so."""
    while words and words[0].text in _OPENS | _CLOSES | _TURNS | {"then", "do", "!"}:
        keyword = words.pop(0)
        if keyword.text in _CLOSES:
            block.pop()
        elif keyword.text in _TURNS:
            block[-1] = keyword.start
        elif keyword.text in _OPENS:
            block.append(keyword.start)
            if keyword.text in {"for", "case", "select"}:
                del words[:]


def _take(script: _Script, words: list[Word], block: tuple[int, ...]) -> None:
    """Note what a command assigns, or the command itself."""
    own = [word for word in words if word.text not in {"export", "local", "readonly", "declare"}]
    while own and (match := re.match(r"(\w+)(\+?)=", own[0].text)):
        word = own.pop(0)
        start = word.start + match.end()
        pieces = _pieces(script, word.text[match.end() :], start)
        assigned = _Assigned(start=start, block=block, pieces=pieces, appends=bool(match[2]))
        if not own or words[0].text in {"export", "local", "readonly", "declare"}:
            script.assigned.setdefault(match[1], []).append(assigned)
    if not own:
        return
    if own[0].text == "read" and "''" in [word.text for word in own]:
        name = own[[word.text for word in own].index("''") + 1].text
        body = next((span for at, span in script.documents.items() if at > own[0].start), None)
        if body is not None:
            pieces = [
                Word(text=match[0], start=body[0] + match.start())
                for match in re.finditer(r"\S+", _joined(script.text[slice(*body)]))
            ]
            script.assigned.setdefault(name, []).append(
                _Assigned(start=own[0].start, block=block, pieces=pieces)
            )
    script.commands.append(_Command(words=own, block=block))


def _pieces(script: _Script, value: str, start: int) -> list[Word]:
    """Return the elements of an array, or the pieces of a string."""
    if value.startswith("("):
        inner = mask(value[1:-1])[0]
        return [
            Word(text=value[1 + match.start() : 1 + match.end()], start=start + 1 + match.start())
            for match in re.finditer(r"\S+", inner)
        ]
    if value[:1] in {'"', "'"} and value[-1:] == value[:1] and len(value) > 1:
        value, start = value[1:-1], start + 1
    text = _joined(mask(value.replace('"', "_").replace("'", "_"), only_expansions=True)[0])
    return [
        Word(text=value[match.start() : match.end()], start=start + match.start())
        for match in re.finditer(r"\S+", text)
    ]


def _joined(text: str) -> str:
    return text.replace("\\\n", "  ")


def _words(text: str, masked: str, start: int, end: int) -> list[Word]:
    return [
        Word(text=text[match.start() : match.end()], start=match.start())
        for match in re.compile(r"\S+").finditer(masked, start, end)
    ]


def _command_extents(masked: str) -> Iterator[tuple[int, int]]:
    """Yield where each command stands, redirections and separators left out."""
    position = 0
    for match in re.finditer(r";;|&&|\|\||[\n;|()]|(?<![>\d])&(?![>\d])", masked):
        yield position, match.start()
        position = match.end()
        if match[0] == ";;":
            yield match.start(), match.end()
    yield position, len(masked)

"""Which commands of a shell script start training, and how: launcher, script, options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mint_migrate.launches.given import Given, read_flags
from mint_migrate.launches.hydra import read_overrides
from mint_migrate.launches.methods import METHODS
from mint_migrate.launches.nested import Nested, nested_in, unquoted
from mint_migrate.launches.places import Places
from mint_migrate.launches.programs import PREFIXES, CommandReader, is_program, name_of
from mint_migrate.launches.runtime_env import runtime_variables
from mint_migrate.launches.script import ENGINES, ShellScript
from mint_migrate.shell.words import PartKind, Word

_SHOWS = frozenset({"alias", "echo", "grep", "printf", "sed", "awk", "git", "tee"})
_INSIDE = re.compile(rf"(?<![\w.-])trl\s+(?:{'|'.join(METHODS)})\b")
_HIDDEN = re.compile(
    r"(?<![\w.-])(?:verl\.trainer\.\w+|recipe\.\w+\.main_\w+|openrlhf\.cli\.train_\w+)"
)
_DEEPEST = 3
"""Shells within shells that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One command that trains."""

    framework: str | None
    """trl | verl | openrlhf; None where a script of the user's is started."""
    method: str | None
    """Of TRL a key of `METHODS`, else the entry point; None where a script is started."""
    program: str
    """Module or path that is started."""
    is_copy: bool
    """What is started is a copy of the entry point, recognized by its options."""
    script: str | None
    """Path of the user's script."""
    launcher: str | None
    """accelerate | torchrun | deepspeed"""
    launcher_flags: tuple[Given, ...]
    submission: tuple[Given, ...]
    """Flags of `ray job submit`."""
    flags: tuple[Given, ...]
    strays: tuple[Word, ...]
    """Words that belong to no flag: what they stand for is known when the command runs."""
    assumed: tuple[Word, ...]
    """Variables that name what is started, taken at their defaults."""
    cut_off: tuple[Word, ...]
    """Options on the next lines that a comment between keeps from the command."""
    start: int
    """Offset of the program's name in the text."""
    script_end: int
    """Offset behind the script's name; what follows are its arguments."""
    end: int
    line: int
    """Offset where the command's line starts."""
    nested: Nested | None
    """The string or here-document that it stands in."""
    inner_names: frozenset[str]
    """Variables that are set in there."""
    variables: tuple[tuple[str, str], ...]
    """What `ray job submit` sets for the command: names, and values as a shell reads them."""
    sets_more: bool
    """Variables are set for this command alone that the result may read."""
    is_reached: bool
    """The text does not show that the script never gets here."""

    @property
    def hands_arguments_on(self) -> bool:
        """Say whether the command is given the arguments of the script itself."""
        return any(map(is_arguments, self.strays))


def is_arguments(word: Word) -> bool:
    """Say whether a word stands for the arguments of the script itself."""
    return any(part.kind is PartKind.ARRAY and part.text in {"@", "*"} for part in word.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """Where commands stand."""

    places: Places
    nested: Nested | None = None
    line: int | None = None
    """Offset of the line of the command that holds the string or here-document."""
    depth: int = 0


def find_launches(shell: ShellScript, places: Places) -> list[Launch]:
    """Return the commands of a script that train or start a Python script."""
    return list(_launches(shell, _Around(places=places)))


def hidden_commands(shell: ShellScript, launches: list[Launch]) -> list[Word]:
    """Return the words that hold a whole command that is not read: what `ssh` is given."""
    return [
        word
        for command in shell.commands
        if (command.words[0].text or "") not in _SHOWS
        for word in command.words
        if word.is_quoted and _is_hidden(word, launches)
    ]


def _is_hidden(word: Word, launches: list[Launch]) -> bool:
    if _INSIDE.search(word.source):
        return True
    is_read = any(word.start <= launch.start < word.end for launch in launches)
    return _HIDDEN.search(word.source) is not None and " " in word.source and not is_read


def _launches(shell: ShellScript, around: _Around) -> Iterator[Launch]:
    for index, command in enumerate(shell.commands):
        launch = _launch(shell, index, around)
        if launch is not None:
            yield launch
            continue
        line = around.places.line_start(command.start) if around.line is None else around.line
        for nested in nested_in(command, shell.text) if around.depth < _DEEPEST else ():
            script = shell.inside(nested, command)
            if script is not None:
                inner = replace(around, nested=nested, line=line, depth=around.depth + 1)
                found = _launches(script, inner)
                yield from (item for item in found if item.framework not in {None, "trl"})


def _launch(shell: ShellScript, index: int, around: _Around) -> Launch | None:
    command = shell.commands[index]
    if command.words[0].text in _SHOWS:
        return None
    words = shell.filled_in(unquoted(command), command)
    found = _trained(shell, index, words, around)
    if found is None and any(map(_has_default, words)):
        by_default = tuple(each for word in words for each in _by_default(word))
        found = _trained(shell, index, by_default, around)
        assumed = tuple(filter(_has_default, words))
        if found is not None:
            found = replace(found, assumed=assumed) if found.framework != "trl" else None
    return found


def _trained(
    shell: ShellScript, index: int, words: tuple[Word, ...], around: _Around
) -> Launch | None:
    for start in _starts(words):
        reader = CommandReader(words[start:])
        reader.read()
        is_known = reader.method is not None and reader.framework != "trl"
        if is_known or (reader.found and _is_prefix(words, start)):
            return _found(shell, index, words, start, reader, around)
    return None


def _has_default(word: Word) -> bool:
    """Say whether a word stands for a program or module unless the environment names another."""
    default = word.parts[0].default if len(word.parts) == 1 else None
    return default is not None and re.match(r"-m |.*\.py\b|python|torchrun", default) is not None


def _by_default(word: Word) -> Iterator[Word]:
    if not _has_default(word):
        yield word
        return
    for text in (word.parts[0].default or "").split():
        part = replace(word.parts[0], kind=PartKind.TEXT, text=text, default=None, operator="")
        yield replace(word, parts=(part,))


def _starts(words: tuple[Word, ...]) -> list[int]:
    """Return where the program may stand."""
    return [index for index, word in enumerate(words) if is_program(word)]


def _is_prefix(words: tuple[Word, ...], start: int) -> bool:
    """Say whether what stands before a program is nothing, or runs it."""
    return start == 0 or name_of(words[0]) in PREFIXES


def _found(
    shell: ShellScript,
    index: int,
    words: tuple[Word, ...],
    start: int,
    reader: CommandReader,
    around: _Around,
) -> Launch:
    places, nested = around.places, around.nested
    command = shell.commands[index]
    submitted = _submitted(words, start)
    launcher_flags, _ = read_flags(reader.launcher_words, places)
    before = words[submitted + 3 : start] if submitted >= 0 else ()
    submission, _ = read_flags([word for word in before if word.text != "--"], places)
    read = read_overrides if reader.framework == "verl" else read_flags
    flags, strays = read(reader.rest, places)
    return Launch(
        framework=reader.framework if reader.method is not None else None,
        method=reader.method,
        program=reader.program,
        is_copy=reader.is_copy,
        script=reader.script,
        launcher=reader.launcher,
        launcher_flags=tuple(launcher_flags),
        submission=tuple(item for item in submission if item.name),
        flags=tuple(flags),
        strays=tuple(strays),
        assumed=(),
        cut_off=_cut_off(shell, index),
        start=words[submitted if submitted >= 0 else start].site_start,
        script_end=reader.script_end,
        end=command.words[-1].end,
        line=places.line_start(command.start) if around.line is None else around.line,
        nested=nested,
        inner_names=shell.sets if nested is not None else frozenset(),
        variables=runtime_variables(submission),
        sets_more=any(not ENGINES.fullmatch(item.name) for item in command.assignments),
        is_reached=shell.is_reached(command),
    )


def _submitted(words: tuple[Word, ...], start: int) -> int:
    """Return where `ray job submit` stands before a program, -1 where it does not."""
    for index in range(start - 2):
        texts = [word.text for word in words[index + 1 : index + 3]]
        if name_of(words[index]) == "ray" and texts == ["job", "submit"]:
            return index
    return -1


def _cut_off(shell: ShellScript, index: int) -> tuple[Word, ...]:
    """Return the words of the command behind, if it starts with an option: a comment cut it off."""
    following = shell.commands[index + 1 : index + 2]
    if not following:
        return ()
    between = shell.text[shell.commands[index].end : following[0].start]
    first = following[0].words[0].lead
    is_option = re.match(r"--\w|[+~]*[a-z_]\w*\.[\w.]+=", first) is not None
    return following[0].words if is_option and "#" in between else ()

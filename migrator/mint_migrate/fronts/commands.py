"""Which commands of a shell script start training, and how: launcher, script, flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mint_migrate.fronts.entries import entry_of
from mint_migrate.fronts.given import Given, read_flags
from mint_migrate.fronts.hydra import read_overrides
from mint_migrate.fronts.methods import METHODS
from mint_migrate.fronts.places import Places
from mint_migrate.fronts.shell import ShellScript
from mint_migrate.fronts.syntax import Command
from mint_migrate.fronts.words import PartKind, Word

_OWN_SCRIPT = re.compile(r"(?:^|/)(?:trl|examples)/scripts/(?P<name>\w+)\.py$")
_OWN_MODULE = re.compile(r"trl\.(?:experimental\.)?scripts\.(?P<name>\w+)$|trl$")
_DISTRIBUTED = frozenset({"torch.distributed.run", "torch.distributed.launch"})
_PYTHON = re.compile(r"(?:.*/)?python[\d.]*$")
_PREFIXES = frozenset(
    {"command", "env", "exec", "mpirun", "nohup", "poetry", "srun", "sudo", "time", "uv", "uvx"}
)
"""Programs that run another one here, named behind their own options."""
_SHOWS = frozenset({"alias", "echo", "grep", "printf", "sed", "awk", "git", "tee"})
_INSIDE = re.compile(rf"(?<![\w.-])trl\s+(?:{'|'.join(METHODS)})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One command that trains."""

    framework: str | None
    """trl | verl | openrlhf; None where a script of the user's is started."""
    method: str | None
    """Of TRL a key of `METHODS`, else the entry point; None where a script is started."""
    script: str | None
    """Path of the user's script."""
    launcher: str | None
    """accelerate | torchrun | deepspeed"""
    launcher_flags: tuple[Given, ...]
    flags: tuple[Given, ...]
    strays: tuple[Word, ...]
    """Words that belong to no flag: what they stand for is known when the command runs."""
    start: int
    """Offset of the program's name in the text."""
    script_end: int
    """Offset behind the script's name; what follows are its arguments."""
    end: int
    line: int
    """Offset where the command's line starts."""

    @property
    def hands_arguments_on(self) -> bool:
        """Say whether the command is given the arguments of the script itself."""
        return any(map(is_arguments, self.strays))


def is_arguments(word: Word) -> bool:
    """Say whether a word stands for the arguments of the script itself."""
    return any(part.kind is PartKind.ARRAY and part.text in {"@", "*"} for part in word.parts)


def find_launches(shell: ShellScript, places: Places) -> list[Launch]:
    """Return the commands of a script that train with TRL or start a Python script."""
    found = [_launch(shell, command, places) for command in shell.commands]
    return [launch for launch in found if launch is not None]


def hidden_commands(shell: ShellScript) -> list[Word]:
    """Return the words that hold a whole command of TRL: what `bash -c` or `ssh` is given."""
    return [
        word
        for command in shell.commands
        if (command.words[0].text or "") not in _SHOWS
        for word in command.words
        if word.is_quoted and _INSIDE.search(word.source)
    ]


def _launch(shell: ShellScript, command: Command, places: Places) -> Launch | None:
    for start in _starts(command.words):
        words = shell.filled_in(command.words[start:], command)
        reader = _CommandReader(words)
        if words:
            reader.read()
        if reader.script is not None or reader.method is not None:
            return _found(command, start, reader, places)
    return None


def _starts(words: Sequence[Word]) -> list[int]:
    """Return where the program may stand: at the start, or behind what runs it."""
    if (words[0].text or "").rsplit("/", 1)[-1] not in _PREFIXES:
        return [0]
    return [index for index, word in enumerate(words) if _is_program(word.text or "")]


def _found(command: Command, start: int, reader: _CommandReader, places: Places) -> Launch:
    launcher_flags, _ = read_flags(reader.launcher_words, places)
    read = read_overrides if reader.framework == "verl" else read_flags
    flags, strays = read(reader.rest, places)
    return Launch(
        framework=reader.framework if reader.method is not None else None,
        method=reader.method,
        script=reader.script,
        launcher=reader.launcher,
        launcher_flags=tuple(launcher_flags),
        flags=tuple(flags),
        strays=tuple(strays),
        start=command.words[start].start,
        script_end=reader.script_end,
        end=command.words[-1].end,
        line=places.line_start(command.start),
    )


def _is_program(text: str) -> bool:
    name = text.rsplit("/", 1)[-1]
    return name in {"trl", "accelerate", "torchrun", "deepspeed"} or bool(_PYTHON.match(text))


class _CommandReader:
    """Takes a command apart: launcher, its flags, script or method, the rest."""

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = words
        self.launcher: str | None = None
        self.launcher_words: list[Word] = []
        self.framework = "trl"
        self.method: str | None = None
        self.script: str | None = None
        self.script_end = 0
        self.rest: list[Word] = []

    def read(self) -> None:
        program = (self.words[0].text or "").rsplit("/", 1)[-1]
        second = self.words[1].text if len(self.words) > 1 else None
        third = self.words[2].text if len(self.words) > 2 else None
        if program == "trl":
            self._method(1)
        elif program == "accelerate" and second == "launch":
            self._launched("accelerate", 2)
        elif program in {"torchrun", "deepspeed"}:
            self._launched(program, 1)
        elif _PYTHON.match(program) and second == "-m" and third in _DISTRIBUTED:
            self._launched("torchrun", 3)
        elif _PYTHON.match(program) and second == "-m" and third == "accelerate.commands.launch":
            self._launched("accelerate", 3)
        elif _PYTHON.match(program):
            self._script(1)

    def _method(self, index: int) -> None:
        name = self.words[index].text if index < len(self.words) else None
        if name in METHODS:
            self.method = name
            self.script_end = self.words[index].end
            self.rest = list(self.words[index + 1 :])

    def _launched(self, launcher: str, start: int) -> None:
        """Read what stands behind a launcher: its own flags end where the script is named."""
        self.launcher = launcher
        for index in range(start, len(self.words)):
            text = self.words[index].text or ""
            before = self.words[index - 1].text or ""
            is_module = before in {"-m", "--module"}
            if is_module or text.endswith(".py"):
                self.launcher_words = list(self.words[start : index - is_module])
                self._script(index - is_module)
                return
            if text == "trl" or text.endswith("/trl"):
                self.launcher_words = list(self.words[start:index])
                self._method(index + 1)
                return

    def _script(self, index: int) -> None:
        """Read a script or `-m module` and its arguments."""
        while index < len(self.words) and (self.words[index].text or "") in {"-u", "-W", "-O"}:
            index += 1
        is_module = index < len(self.words) and self.words[index].text in {"-m", "--module"}
        index += is_module
        text = self.words[index].text if index < len(self.words) else None
        if text is None:
            return
        own = _OWN_MODULE.match(text) if is_module else _OWN_SCRIPT.search(text)
        if is_module and text == "trl":
            self._method(index + 1)
            return
        entry = entry_of(text, is_module=is_module)
        if entry is not None:
            self.framework, self.method = entry
        elif own is not None and own["name"] in METHODS:
            self.method = own["name"]
        elif not is_module and text.endswith(".py"):
            self.script = text
        self.script_end = self.words[index].end
        self.rest = list(self.words[index + 1 :])

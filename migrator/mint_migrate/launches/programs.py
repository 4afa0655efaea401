"""Takes a command apart: what submits it, launcher, program, and the arguments of the program."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mint_migrate.launches.entries import entry_of
from mint_migrate.launches.methods import METHODS
from mint_migrate.shell.words import Word

_OWN_SCRIPT = re.compile(r"(?:^|/)(?:trl|examples)/scripts/(?P<name>\w+)\.py$")
_OWN_MODULE = re.compile(r"trl\.(?:experimental\.)?scripts\.(?P<name>\w+)$|trl$")
_DISTRIBUTED = frozenset({"torch.distributed.run", "torch.distributed.launch"})
_PYTHON = re.compile(r"(?:.*/)?(?:python[\d.]*|pypy3?)$")
_ALONE = frozenset({"-u", "-O", "-OO", "-B", "-E", "-I", "-s", "-S", "-v", "-q"})
_WITH_VALUE = frozenset({"-W", "-X"})
PREFIXES = frozenset(
    {
        *("apptainer", "command", "conda", "docker", "env", "exec", "ionice", "micromamba"),
        *("mpirun", "nice", "nohup", "nsys", "numactl", "pdm", "pipenv", "pixi", "podman"),
        *("poetry", "ray", "setsid", "singularity", "srun", "stdbuf", "sudo", "time", "timeout"),
        *("uv", "uvx", "xvfb-run"),
    }
)
"""Programs that run another one here, named behind their own options."""


def name_of(word: Word) -> str:
    """Return the name of a program, without the folder it is in."""
    return (word.text or "").rsplit("/", 1)[-1]


def is_program(word: Word) -> bool:
    """Say whether a word names a program that trains or launches a training."""
    name = name_of(word)
    known = name in {"trl", "accelerate", "torchrun", "deepspeed"}
    return known or bool(_PYTHON.match(name))


def is_shell(word: Word) -> bool:
    """Say whether a word names a shell."""
    return name_of(word) in {"bash", "sh", "zsh", "dash", "ash", "ksh"}


class CommandReader:
    """Reads the words of one command, from the program that may launch on."""

    def __init__(self, words: Sequence[Word]) -> None:
        """Take the words, variables filled in."""
        self.words = words
        self.launcher: str | None = None
        self.launcher_words: list[Word] = []
        self.framework = "trl"
        self.method: str | None = None
        self.program = ""
        """Module or path of what is started."""
        self.is_copy = False
        self.script: str | None = None
        """Path of a script that belongs to no framework."""
        self.script_end = 0
        self.rest: list[Word] = []

    @property
    def found(self) -> bool:
        """Say whether the command starts a training or a script."""
        return self.script is not None or self.method is not None

    def read(self) -> None:
        """Read the command; nothing is found in one that starts no training."""
        if not self.words:
            return
        program = name_of(self.words[0])
        second = self.words[1].text if len(self.words) > 1 else None
        if program == "trl":
            self._method(1)
        elif program == "accelerate" and second == "launch":
            self._launched("accelerate", 2)
        elif program in {"torchrun", "deepspeed"}:
            self._launched(program, 1)
        elif _PYTHON.match(program):
            self._python(1)

    def _text(self, index: int) -> str:
        return (self.words[index].text or "") if index < len(self.words) else ""

    def _python(self, index: int) -> None:
        index = self._behind_options(index)
        module = self._text(index + 1) if self._text(index) == "-m" else ""
        if module in _DISTRIBUTED:
            self._launched("torchrun", index + 2)
        elif module in {"accelerate.commands.launch", "deepspeed", "deepspeed.launcher.runner"}:
            self._launched(module.partition(".")[0], index + 2)
        else:
            self._script(index)

    def _behind_options(self, index: int) -> int:
        """Return where the options of Python end."""
        while self._text(index) in _ALONE | _WITH_VALUE or re.match(r"-[WX].", self._text(index)):
            index += 2 if self._text(index) in _WITH_VALUE else 1
        return index

    def _method(self, index: int) -> None:
        name = self._text(index)
        if name in METHODS:
            self.method = name
            self.script_end = self.words[index].site_end
            self.rest = list(self.words[index + 1 :])

    def _launched(self, launcher: str, start: int) -> None:
        """Read what stands behind a launcher: its own flags end where the script is named."""
        self.launcher = launcher
        for index in range(start, len(self.words)):
            text = self._text(index)
            is_module = self._text(index - 1) in {"-m", "--module"}
            if is_module or text.endswith(".py"):
                self.launcher_words = self._own(start, index - is_module)
                self._script(index - is_module)
                return
            if text == "trl" or text.endswith("/trl"):
                self.launcher_words = self._own(start, index)
                self._method(index + 1)
                return

    def _own(self, start: int, end: int) -> list[Word]:
        """Return the launcher's own words; a Python behind `--no-python` is none of them."""
        words = list(self.words[start:end])
        while words and (_PYTHON.match(name_of(words[-1])) or words[-1].text in _ALONE):
            words.pop()
        return words

    def _script(self, index: int) -> None:
        """Read a script or `-m module` and its arguments."""
        is_module = self._text(index) in {"-m", "--module"}
        index += is_module
        text = self._text(index)
        if not text:
            return
        if is_module and text == "trl":
            self._method(index + 1)
            return
        rest = self.words[index + 1 :]
        own = _OWN_MODULE.match(text) if is_module else _OWN_SCRIPT.search(text)
        entry = entry_of(text, (word.lead for word in rest), is_module=is_module)
        if entry is not None and (is_module or text.endswith(".py")):
            self.framework, self.method, self.is_copy = entry.framework, entry.entry, entry.is_copy
        elif own is not None and own["name"] in METHODS:
            self.method = own["name"]
        elif not is_module and text.endswith(".py"):
            self.script = text
        self.program = text
        self.script_end = self.words[index].site_end
        self.rest = list(rest)

"""What is known of the variables of a shell script at one point of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mint_migrate.shell.words import Word

OF_THE_SHELL = frozenset(
    {
        "BASHPID",
        "BASH_SOURCE",
        "EPOCHSECONDS",
        "EUID",
        "FUNCNAME",
        "HOSTNAME",
        "IFS",
        "LINENO",
        "OPTARG",
        "OPTIND",
        "PIPESTATUS",
        "PPID",
        "RANDOM",
        "REPLY",
        "SECONDS",
        "UID",
    }
)
"""Variables that a shell makes itself and does not hand on to the programs it starts."""

ALWAYS = frozenset(
    {"HOME", "LANG", "LOGNAME", "OLDPWD", "PATH", "PWD", "SHELL", "SHLVL", "TERM", "USER"}
)
"""Variables that the environment has, so that a new value of theirs is handed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One value that a variable has from some point on."""

    serial: int
    words: tuple[Word, ...] = ()
    """The elements of an array, one word otherwise; none where the variable is not set."""
    is_array: bool = False
    varies: bool = False
    """The text does not show which of several values it is."""
    candidates: tuple[str, ...] = ()
    """Of several, those that are text, in the order of the script."""
    path: str | None = None
    """What it says as a path, where it is not text but built from where the script lies."""

    @property
    def text(self) -> str | None:
        """Return the value where it is known."""
        if self.varies:
            return None
        return self.words[0].text if self.words else ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the values that are known, one or those it may be."""
        if self.varies:
            return self.candidates
        text = self.text
        return () if text is None or self.is_array else (text,)


@dataclass(slots=True)
class Scope:
    """The variables at one point. A variable that is not in it has the environment's value."""

    bindings: dict[str, Binding] = field(default_factory=dict)
    exported: frozenset[str] = ALWAYS
    is_open: bool = False
    """Something that the text does not show may have set any variable."""
    is_dead: bool = False
    """Nothing gets here: a command before it ends the script."""
    exports_all: bool = False
    _is_shared: bool = False

    def get(self, name: str) -> Binding | None:
        """Return the value of a variable, None where the script has not set it."""
        return self.bindings.get(name)

    def text(self, name: str) -> str | None:
        """Return the text of a variable, None where it is not known."""
        binding = self.bindings.get(name)
        return None if binding is None else binding.text

    def serial(self, name: str) -> int:
        """Return which value a variable has."""
        binding = self.bindings.get(name)
        return 0 if binding is None else binding.serial

    def is_exported(self, name: str) -> bool:
        """Say whether a started program finds the variable in its environment."""
        if name.isdigit() or name == "@" or name in OF_THE_SHELL:
            return False
        if name in self.bindings:
            return name in self.exported
        return not self.is_open

    def put(self, name: str, binding: Binding) -> None:
        """Give a variable a value."""
        if self._is_shared:
            self.bindings, self._is_shared = dict(self.bindings), False
        self.bindings[name] = binding
        if self.exports_all:
            self.exported |= {name}

    def drop(self, name: str) -> None:
        """Forget what is known of a variable: it has the value it had outside."""
        if name in self.bindings:
            if self._is_shared:
                self.bindings, self._is_shared = dict(self.bindings), False
            del self.bindings[name]

    def copy(self) -> Scope:
        """Return a scope that goes its own way from here."""
        self._is_shared = True
        return replace(self)


def joined(first: Scope, second: Scope, serials: Iterable[int]) -> Scope:
    """Return what is known behind two branches. A branch that ends the script adds nothing."""
    if first.is_dead != second.is_dead:
        return second if first.is_dead else first
    result = first.copy()
    result.exported = first.exported | second.exported
    result.is_open = first.is_open or second.is_open
    result.exports_all = first.exports_all or second.exports_all
    names = dict.fromkeys([*first.bindings, *second.bindings])
    for name in names:
        ours, theirs = first.get(name), second.get(name)
        if ours is not theirs and not _is_same(ours, theirs):
            result.put(name, varying(next(iter(serials)), [ours, theirs]))
    return result


def varying(serial: int, bindings: Sequence[Binding | None]) -> Binding:
    """Return a variable that has one of several values."""
    texts = dict.fromkeys(text for item in bindings if item is not None for text in item.texts)
    is_array = any(item is not None and item.is_array for item in bindings)
    return Binding(serial=serial, is_array=is_array, varies=True, candidates=tuple(texts))


def _is_same(ours: Binding | None, theirs: Binding | None) -> bool:
    if ours is None or theirs is None or ours.varies or theirs.varies:
        return False
    if ours.is_array != theirs.is_array:
        return False
    texts = [word.text for word in ours.words], [word.text for word in theirs.words]
    return texts[0] == texts[1] and None not in texts[0]

"""The commands of a shell script, in order, with their variables filled in where they are known.

The script is read as text and never run. What is known of a variable is what the script says up to
the command: the last value before it, one of several behind a branch that the text does not decide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mint_migrate.launches.nested import Nested
from mint_migrate.shell.bindings import Scope
from mint_migrate.shell.grammar import parse
from mint_migrate.shell.pages import Pages, ReadFile
from mint_migrate.shell.resolve import Resolver
from mint_migrate.shell.setters import ARGUMENTS, inside, names_set_in
from mint_migrate.shell.simple import DECLARES
from mint_migrate.shell.syntax import Branches, Case, Command, Function, Loop, Node, Script
from mint_migrate.shell.walk import Walker
from mint_migrate.shell.words import Word

_SETS_UP = frozenset(
    {"set", "shopt", "true", ":", "[", "[[", "test", "echo", "ulimit", "sleep", "wait"}
) | (DECLARES - {"export"})
ENGINES = re.compile(
    r"(?:ACCELERATE|ASCEND|CUDA|FLASHINFER|GLOO|HCCL|HYDRA|MKL|NCCL|NVTE|OMP|PYTORCH|RAY|SGLANG"
    r"|TOKENIZERS|TORCH|TRITON|UCX|VERL|VLLM|XFORMERS)_\w+|PYTHONUNBUFFERED|RANK|WORLD_SIZE"
    r"|LOCAL_RANK|NODE_RANK|MASTER_ADDR|MASTER_PORT"
)
"""Variables that only the engines of a training read, which run on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellScript:
    """The commands of a script, as written, and the variables it sets."""

    pages: Pages
    commands: tuple[Command, ...]
    variables: dict[str, tuple[Word, ...]] = field(default_factory=dict)
    """Those that are known at the end; the elements of an array, one word otherwise."""
    varying: frozenset[str] = frozenset()
    """Those that the script sets, but not to one known value."""
    sets: frozenset[str] = frozenset()
    """All variables that the script sets."""
    has_work_in_blocks: bool = False
    """A command that does more than set things up stands in a loop, a branch or a function."""
    _scopes: dict[int, Scope] = field(default_factory=dict)
    _values: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Return the script and the files that it sources, one behind the other."""
        return self.pages.text

    @property
    def only_sets_up(self) -> bool:
        """Return whether at most one command does more than set variables of the script."""
        return sum(map(_is_work, self.commands)) <= 1 and not self.has_work_in_blocks

    def filled_in(self, words: tuple[Word, ...], command: Command) -> tuple[Word, ...]:
        """Return words of a command with known variables replaced, and lists spread out."""
        scope = self._scopes.get(id(command), Scope())
        return Resolver(scope, self.text).words(words)

    def is_reached(self, command: Command) -> bool:
        """Say whether the script may get to a command, as far as its text shows."""
        scope = self._scopes.get(id(command))
        return scope is None or not scope.is_dead

    def inside(self, nested: Nested, command: Command) -> ShellScript | None:
        """Return the script in a word or here-document of a command.

        None where one of its variables has two meanings: here, and in the shell that reads it.
        """
        script = parse(nested.text, nested.offsets)
        if nested.outer_names & frozenset(names_set_in(script.root, {})):
            return None
        scope = self._scopes.get(id(command), Scope()).copy()
        return _followed(self.pages, script, scope, is_nested=True)

    def candidates(self, name: str) -> tuple[str, ...]:
        """Return the texts that a variable is given somewhere in the script, in order."""
        return self._values.get(name, ())


def _has_work(node: Node, *, is_inside: bool) -> bool:
    if isinstance(node, Command):
        return is_inside and bool(node.words) and _is_work(node)
    if isinstance(node, Function):
        return _has_work(node.body, is_inside=True)
    is_inside |= isinstance(node, Branches | Case | Loop)
    return any(_has_work(item, is_inside=is_inside) for item in inside(node))


def _is_work(command: Command) -> bool:
    """Say whether a command does more than set up what the original needs."""
    program = command.words[0].text
    names = [item.name for item in command.assignments]
    if program == "export":
        names += [word.lead.partition("=")[0] for word in command.words[1:]]
        return not all(map(ENGINES.fullmatch, names))
    if program == "ray" and len(command.words) > 1:
        return command.words[1].text not in {"start", "status", "stop"}
    return program not in _SETS_UP


def read_shell(text: str, read: ReadFile | None = None) -> ShellScript:
    """Return the commands of a script. Text that is no shell gives commands nobody knows.

    Args:
        text: the script.
        read: returns the text of a file that it sources; without it none is read.
    """
    return _followed(Pages(text, read), parse(text), Scope())


def _followed(
    pages: Pages, script: Script, scope: Scope, *, is_nested: bool = False
) -> ShellScript:
    walker = Walker(pages)
    if is_nested:
        walker.effects.vary(ARGUMENTS, scope)
    end = walker.follow(script.root, scope)
    known = {name: item.words for name, item in end.bindings.items() if not item.varies}
    varying = {name for name, values in walker.effects.values.items() if len(values) > 1}
    varying |= walker.effects.unknown
    varying |= {name for name, item in end.bindings.items() if item.varies}
    return ShellScript(
        pages=pages,
        commands=tuple(command for command in script.commands if command.words),
        variables={name: words for name, words in known.items() if name not in varying},
        varying=frozenset(varying),
        sets=frozenset(walker.effects.names - set(ARGUMENTS)),
        has_work_in_blocks=_has_work(script.root, is_inside=False),
        _scopes=walker.scopes,
        _values={name: tuple(values) for name, values in walker.effects.values.items()},
    )

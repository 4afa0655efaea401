"""Which variables the parts of a shell script set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from mint_migrate.shell.simple import DECLARES
from mint_migrate.shell.syntax import (
    Apart,
    Arithmetic,
    Block,
    Branches,
    Case,
    Chain,
    Command,
    Function,
    Loop,
    Negated,
    Node,
)

ARGUMENTS = ("@", *map(str, range(1, 10)))
"""The arguments of a script or function, all of them first."""
SOURCES = frozenset({"source", "."})
DIRECTORY = frozenset({"cd", "pushd", "popd"})
NAMING = frozenset({"getopts", "let", "mapfile", "printf", "read", "readarray", "unset"})
"""Commands that set the variables they are given."""
_TAKES_VALUE = frozenset({"-d", "-n", "-N", "-p", "-t", "-u", "-i", "-O", "-c", "-C"})
_DEFAULTS = re.compile(r"\$\{(\w+):?=")
_ASSIGNS = re.compile(
    r"([A-Za-z_]\w*)\s*(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))|(?:\+\+|--)\s*([A-Za-z_]\w*)"
)


def names_in_arithmetic(text: str) -> Iterator[str]:
    """Yield the names that an arithmetic expression sets."""
    for match in _ASSIGNS.finditer(text):
        yield match[1] or match[2]


def names_given(command: Command) -> Iterator[str]:
    """Yield the names that `read`, `unset` and the like are given."""
    texts = [word.text or "" for word in command.words]
    if texts[0] == "printf":
        if "-v" in texts[:-1]:
            yield texts[texts.index("-v") + 1]
    elif texts[0] == "let":
        for text in texts[1:]:
            yield from names_in_arithmetic(text)
    else:
        for before, text in pairwise(texts):
            if text.isidentifier() and before not in _TAKES_VALUE:
                yield text


def names_defaulted(command: Command) -> Iterator[str]:
    """Yield the names that `${NAME:=text}` in a command may set."""
    for word in (*command.words, *(word for item in command.assignments for word in item.values)):
        yield from _DEFAULTS.findall(word.source)


def names_set_in(
    node: Node | None,
    functions: Mapping[str, Function],
    sourced: Callable[[Command], Node | None] = lambda _: None,
    entered: set[int] | None = None,
) -> Iterator[str]:
    """Yield the names that a part of a script may set.

    Args:
        node: the part.
        functions: those that it may call, which count, too.
        sourced: returns what a command sources, where that is known.
        entered: identities of the functions and files that are being read.
    """
    entered = set() if entered is None else entered
    if isinstance(node, Command):
        yield from _names_set_by(node)
        program = node.words[0].text if node.words else ""
        function = functions.get(program or "")
        inner = sourced(node) if program in SOURCES else function.body if function else None
        if inner is not None and id(inner) not in entered:
            entered.add(id(inner))
            yield from names_set_in(inner, functions, sourced, entered)
    elif isinstance(node, Arithmetic):
        yield from names_in_arithmetic(node.text)
    elif node is not None:
        if isinstance(node, Loop) and node.variable is not None:
            yield node.variable
        for item in inside(node):
            yield from names_set_in(item, functions, sourced, entered)


def functions_in(node: Node) -> Iterator[Function]:
    """Yield the functions that a part of a script defines."""
    if isinstance(node, Function):
        yield node
        yield from functions_in(node.body)
        return
    for item in inside(node):
        yield from functions_in(item)


def local_names(node: Node) -> Iterator[str]:
    """Yield the names that a function keeps to itself."""
    if isinstance(node, Command):
        if node.words and node.words[0].text in {"local", "declare", "typeset"}:
            yield from (item.name for item in node.assignments)
            yield from (word.text or "" for word in node.words[1:])
    elif not isinstance(node, Function):
        for item in inside(node):
            yield from local_names(item)


def inside(node: Node) -> Iterator[Node]:
    """Yield what a part of a script consists of; a function is not entered."""
    match node:
        case Block() | Apart():
            yield from node.items
        case Chain():
            yield node.first
            yield from (item for _, item in node.rest)
        case Negated():
            yield node.item
        case Branches():
            for condition, body in node.arms:
                yield from (each for each in (condition, body) if each is not None)
        case Loop():
            yield from (each for each in (node.condition, node.body) if each is not None)
        case Case():
            yield from (body for _, body in node.arms)
        case _:
            return


def _names_set_by(command: Command) -> Iterator[str]:
    program = command.words[0].text if command.words else ""
    if not command.words or program in DECLARES:
        yield from (item.name for item in command.assignments)
    yield from names_defaulted(command)
    if program in NAMING:
        yield from names_given(command)
    elif program in {"shift", "set"}:
        yield from ARGUMENTS
    elif program in DIRECTORY:
        yield "PWD"

"""Where the files lie that a shell script names, as far as its text shows.

A script is taken to start in its own folder: paths from that folder and from the one in which it is
started are both looked for there. Absolute paths and those below `$HOME` are of another machine.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from mint_migrate.shell.bindings import Scope
from mint_migrate.shell.grammar import parse
from mint_migrate.shell.syntax import Block, Chain, Command, Node
from mint_migrate.shell.words import Part, PartKind, Word

_START = "\ue000"
"""Stands for the folder of the script; nobody uses the character."""
_ITSELF = f"{_START}/script"
_FOLDERS = frozenset({"PWD", "SLURM_SUBMIT_DIR"})
"""Variables that name the folder in which a script is started."""
_OWN = re.compile(r"\$\{(?P<name>0|BASH_SOURCE(?:\[0\])?)(?P<rest>%/\*|:?-.*)?\}", re.DOTALL)
_OPTIONS = re.compile(r"-[a-zA-Z]+|--[a-z-]*|")
_DEEPEST = 10


def path_of(word: Word, scope: Scope, sourced: str | None) -> str | None:
    """Return what a word says as a path, None where the text does not show it.

    Args:
        word: names a file or folder.
        scope: what is known where it stands.
        sourced: the sourced file in which it stands, None for the script.
    """
    here = _ITSELF if sourced is None else f"{_START}/{sourced}"
    return _of_parts(word.parts, scope, here, 0)


def below(path: str, scope: Scope) -> str | None:
    """Return a path from the folder of the script, None where it does not lead from there."""
    folder = _START if (binding := scope.get("PWD")) is None else binding.path
    if path.startswith("/") or _START in path[1:]:
        return None
    if not path.startswith(_START):
        if folder is None:
            return None
        path = f"{folder}/{path}"
    return posixpath.normpath(path[len(_START) :].lstrip("/"))


def entered(path: str, scope: Scope) -> str | None:
    """Return the folder that `cd` goes to, as other paths keep it."""
    found = below(path, scope)
    return None if found is None else f"{_START}/{found}"


def _of_parts(parts: Sequence[Part], scope: Scope, here: str, depth: int) -> str | None:
    texts = [_of_part(part, scope, here, depth) for part in parts]
    return "".join(text or "" for text in texts) if None not in texts else None


def _of_part(part: Part, scope: Scope, here: str, depth: int) -> str | None:
    if part.kind is PartKind.TEXT:
        return part.text
    if part.kind is PartKind.VARIABLE and not part.operator:
        return _of_variable(part.text, scope, here)
    if part.kind is PartKind.VARIABLE or depth > _DEEPEST:
        return None
    own = _OWN.fullmatch(part.text)
    if own is not None:
        itself = _of_variable(own["name"].removesuffix("[0]"), scope, here) or ""
        return posixpath.dirname(itself) if own["rest"] == "%/*" else itself
    if part.text.startswith("$(") and not part.text.startswith("$(("):
        return _printed(parse(part.text[2:-1]).root, scope, here, depth + 1)
    return None


def _of_variable(name: str, scope: Scope, here: str) -> str | None:
    if name == "0":
        return _ITSELF
    if name == "BASH_SOURCE":
        return here
    binding = scope.get(name)
    if binding is None:
        return _START if name in _FOLDERS else None
    return binding.text if binding.path is None else binding.path


def _printed(node: Node, scope: Scope, here: str, depth: int) -> str | None:
    """Return the path that a substituted command prints."""
    match node:
        case Block(items=(Command() as first, Command() as second)):
            return _folder_entered(first, second, scope, here, depth)
        case Block(items=(item,)):
            return _printed(item, scope, here, depth)
        case Chain(first=Command() as first, rest=(("&&", Command() as second),)):
            return _folder_entered(first, second, scope, here, depth)
        case Command():
            return _of_command(node, scope, here, depth)
        case _:
            return None


def _folder_entered(
    first: Command, second: Command, scope: Scope, here: str, depth: int
) -> str | None:
    """Return what `cd folder && pwd` prints."""
    program, *operands = _operands(first)
    if (program, *_operands(second)) != ("cd", "pwd") or len(operands) != 1:
        return None
    path = _of_parts(operands[0].parts, scope, here, depth)
    return None if path is None else entered(path, scope)


def _of_command(command: Command, scope: Scope, here: str, depth: int) -> str | None:
    program, *operands = _operands(command)
    if program == "pwd" and not operands:
        return _of_variable("PWD", scope, here)
    if program not in {"dirname", "realpath", "readlink"} or len(operands) != 1:
        return None
    path = _of_parts(operands[0].parts, scope, here, depth)
    if path is None or program != "dirname":
        return path
    return posixpath.dirname(path.rstrip("/")) or "."


def _operands(command: Command) -> tuple[str, *tuple[Word, ...]]:
    """Return the program and its words, options left out."""
    texts = [word.text for word in command.words]
    program = (texts[0] or "") if texts else ""
    rest = (word for word in command.words[1:] if word.text is None or not _is_option(word.text))
    return program, *rest


def _is_option(text: str) -> bool:
    return bool(text) and _OPTIONS.fullmatch(text) is not None

"""What an output carries of ours, by the kind of its file: the stamp, and markers for a person.

A script has its stamp in its docstring, a notebook in its first cell of text, a shell launcher in
its last line. The stamp of a notebook covers the sources of its cells, so running it is no edit.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from mint_migrate import __version__
from mint_migrate import stamp as script_stamp
from mint_migrate.fronts.notebook import Notebook, as_script, read_notebook, replace_source, sources
from mint_migrate.stamp import NUM_HASH_DIGITS
from mint_migrate.todo import Todo, find_todos

SHELL_SUFFIXES = (".sh", ".bash", ".slurm", ".sbatch")
_STAMP = rf"mint-migrate \S+, sha256 (?P<digest>[0-9a-f]{{{NUM_HASH_DIGITS}}})"
_LINE = re.compile(rf"^{_STAMP}$", re.MULTILINE)
_SHELL_LINE = re.compile(rf"^# {_STAMP}\n?\Z", re.MULTILINE)


def stamp(text: str, suffix: str) -> str:
    """Return the text of an output with its stamp."""
    if suffix == ".ipynb":
        notebook = read_notebook(text)
        cell = _stamped_cell(notebook)
        number = cell or 1
        own = _LINE.sub("", notebook.cells[number - 1].source).rstrip("\n")
        bare = replace_source(notebook, number, own)
        line = _line(_digest_of_cells(bare))
        return replace_source(read_notebook(bare), number, f"{own}\n\n{line}")
    if suffix in SHELL_SUFFIXES:
        bare = _SHELL_LINE.sub("", text)
        bare = bare if bare.endswith("\n") else bare + "\n"
        return f"{bare}# {_line(_digest(bare))}\n"
    return script_stamp.stamp(text)


def is_our_output(text: str, suffix: str) -> bool:
    """Say whether this program wrote *text*, edited since or not."""
    if suffix == ".ipynb":
        return _notebook_of_ours(text)
    if suffix in SHELL_SUFFIXES:
        return _SHELL_LINE.search(text) is not None
    return script_stamp.is_our_output(text)


def was_edited(text: str, suffix: str) -> bool:
    """Say whether *text* differs from what this program wrote; a text that is not ours does."""
    if suffix == ".ipynb":
        return not _notebook_of_ours(text) or _notebook_was_edited(text)
    if suffix in SHELL_SUFFIXES:
        found = _SHELL_LINE.search(text)
        return found is None or _digest(_SHELL_LINE.sub("", text)) != found["digest"]
    return script_stamp.was_edited(text)


def is_same(old: str, new: str, suffix: str) -> bool:
    """Say whether two outputs differ in nothing that a person writes."""
    if suffix != ".ipynb":
        return old == new
    try:
        return sources(old) == sources(new)
    except ValueError:
        return False


def markers(text: str, suffix: str) -> tuple[Todo, ...]:
    """Return the markers of a file, those of a notebook with their cell."""
    if suffix != ".ipynb":
        return find_todos(text)
    try:
        cells = read_notebook(text).cells
    except ValueError:
        return ()
    return tuple(
        replace(todo, cell=cell.number)
        for cell in cells
        if cell.kind == "code"
        for todo in find_todos(cell.source)
    )


def readable(text: str, suffix: str) -> str:
    """Return *text* as people compare it: a notebook as its cells one below the other."""
    if suffix != ".ipynb":
        return text
    try:
        return as_script(text)
    except ValueError:
        return text


def _line(digest: str) -> str:
    return f"mint-migrate {__version__}, sha256 {digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:NUM_HASH_DIGITS]


def _digest_of_cells(text: str) -> str:
    pairs = [f"{kind}\n{source}" for kind, source in sources(text)]
    return _digest("\x00".join(pairs))


def _stamped_cell(notebook: Notebook) -> int:
    """Return the number of the cell of text with a stamp, 0 where there is none."""
    return next(
        (
            cell.number
            for cell in notebook.cells
            if cell.kind == "markdown" and _LINE.search(cell.source)
        ),
        0,
    )


def _notebook_of_ours(text: str) -> bool:
    try:
        return _stamped_cell(read_notebook(text)) > 0
    except ValueError:
        return False


def _notebook_was_edited(text: str) -> bool:
    notebook = read_notebook(text)
    number = _stamped_cell(notebook)
    source = notebook.cells[number - 1].source
    found = _LINE.search(source)
    assert found is not None, "the cell was chosen by that line"
    own = source[: found.start()].rstrip("\n") + source[found.end() :]
    return _digest_of_cells(replace_source(notebook, number, own)) != found["digest"]

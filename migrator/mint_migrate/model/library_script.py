"""A script that uses verl's batches and workers, as its template needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from mint_migrate.model.script import TrainingScript


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryScript(TrainingScript):
    """What of the template's module the script gets."""

    template: ClassVar[str] = "verl_python.py.j2"
    wanted: frozenset[str] = frozenset()
    """Names that the script reads, and `.name` for attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What scripts may get, for those who plan: the text itself is the renderer's."""

    members: Mapping[str, frozenset[str]]
    """Methods, properties and fields of each class; nothing for a function."""
    render: Callable[[LibraryScript], str]
    defined: Callable[[str], tuple[str, ...]]
    """Returns the names that a rendered text binds."""
    imports: Callable[[str], tuple[str, ...]]
    """Returns the import statements that a rendered text needs."""

"""What a script imports from other files of its project. Made by `local`, read by whoever plans."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.facts import Call, FunctionFact
from mint_migrate.model.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One name that a module of the project binds at its top level."""

    name: str
    module: str
    """As the project spells it from its root: `train_lib.configs`."""
    path: str
    """The file that defines it, after following what other files only hand on."""
    kind: str
    """function | class | assignment | import (a name of a source framework that is handed on)"""
    span: Span
    """Place of the definition in *path*, decorators left out."""
    text: str
    """Its source text."""
    qualified: str | None
    """What it brings of a source framework, as imported there: what a call of the function returns
    the result of, what the class derives from, what the assignment holds the result of, what is
    handed on. None where it brings no such object.
    """
    call: Call | None
    """The call that makes the object, with its arguments; positions are in *path*. None for a
    class, for an import, and where there is no single such call.
    """
    uses: tuple[str, ...]
    """Every name of a source framework that it calls or derives from, sorted: in its own lines and
    in the functions, classes and values of the project that it reads.
    """
    loads: tuple[str, ...]
    """Names that its module binds elsewhere and that it reads: it cannot be copied without them."""
    function: FunctionFact | None = None
    """For a function: the columns it makes and reads, and what it returns."""

    @property
    def involves_source(self) -> bool:
        """Whether a source framework is behind it."""
        return self.qualified is not None or bool(self.uses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """One use of a `Definition` in a script: an imported name, or `module.name` where it stands."""

    bound: str
    """How the script calls it: `make_config`, `configs.make_config`."""
    qualified: str
    """As imported, a relative import with its dots: `.configs.make_config`."""
    span: Span
    """The name in the import statement; the whole expression for `module.name`."""
    statement: Span
    """The statement around it."""
    scope: int
    """Number of the scope, as in `Facts.scopes`."""
    definition: Definition

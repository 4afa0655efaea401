"""The classes and functions that scripts get in place of verl's, as a module to call."""

from __future__ import annotations

import functools
import sys
from types import ModuleType

from mint_migrate.model.library_script import LibraryScript
from mint_migrate.render.imports import imports_of
from mint_migrate.render.library import library as offered
from mint_migrate.render.prune import prune
from mint_migrate.render.script import render_template


@functools.cache
def source() -> str:
    """Return the whole of it, imports included."""
    text = render_template(LibraryScript.template)
    return "\n".join(imports_of(text)) + "\n\n" + text


def without_client() -> str:
    """Return the part of it that needs no client of MinT: batches, and functions on tensors."""
    text = render_template(LibraryScript.template)
    members = offered().members
    clients = {"PolicyClients", "response_logprobs", "datums_from_batch", "_datum"}
    attributes = [f".{name}" for item in ("Tensors", "DataProto") for name in members[item]]
    part = prune(text, {*members, *attributes} - clients)
    return "\n".join(imports_of(part)) + "\n\n" + part


@functools.cache
def library() -> ModuleType:
    """Return what the text defines."""
    module = ModuleType("library_of_verl")
    sys.modules[module.__name__] = module
    exec(compile(source(), "<library>", "exec"), module.__dict__)
    return module

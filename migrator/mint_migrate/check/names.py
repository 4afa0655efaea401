"""Which names of a module are read but bound nowhere."""

from __future__ import annotations

import ast
import builtins
import re
import symtable

KNOWN = frozenset(dir(builtins)) | {
    "__annotations__",
    "__builtins__",
    "__doc__",
    "__file__",
    "__name__",
    "__package__",
    "__spec__",
}
_STAR = re.compile(r"\bimport\s*\*")
KNOWN_IN_CLASS = frozenset({"__module__", "__qualname__"})


def undefined_names(text: str) -> tuple[str, ...]:
    """Return the names that no scope around their use binds, sorted.

    Python's own symbol tables answer. A star import silences the check.

    Raises:
        SyntaxError: *text* is not Python.
    """
    read: set[str] = set()
    bound: set[str] = set()
    tables = [symtable.symtable(text, "<script>", "exec")]
    is_module = True
    while tables:
        table = tables.pop()
        tables += table.get_children()
        known = KNOWN_IN_CLASS if table.get_type() == "class" else frozenset[str]()
        for symbol in table.get_symbols():
            # What a function declares `global` and binds is bound in the module.
            if (is_module or symbol.is_declared_global()) and _is_bound(symbol):
                bound.add(symbol.get_name())
            is_outer = symbol.is_global() and not symbol.is_local()
            if (is_module or is_outer) and symbol.is_referenced():
                read |= {symbol.get_name()} - known
        is_module = False
    missing = read - bound - KNOWN
    return () if not missing or _has_star_import(text) else tuple(sorted(missing))


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported()


def _has_star_import(text: str) -> bool:
    return _STAR.search(text) is not None and any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        for node in ast.walk(ast.parse(text))
    )

"""Take names out of import statements."""

from __future__ import annotations

from collections.abc import Collection

import libcst as cst


def without_names(
    statement: cst.BaseSmallStatement, names: Collection[str]
) -> cst.BaseSmallStatement | None:
    """Return an import statement without the aliases that bind *names*; None if nothing is left."""
    if not isinstance(statement, cst.Import | cst.ImportFrom) or isinstance(
        statement.names, cst.ImportStar
    ):
        return statement
    kept = [alias for alias in statement.names if bound_name(alias, statement) not in names]
    if len(kept) == len(statement.names):
        return statement
    if not kept:
        return None
    if not (isinstance(statement, cst.ImportFrom) and statement.lpar):
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return statement.with_changes(names=kept)


def bound_name(alias: cst.ImportAlias, statement: cst.Import | cst.ImportFrom) -> str:
    """Return the name that one alias of an import binds."""
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    name = cst.Module(body=[]).code_for_node(alias.name)
    return name if isinstance(statement, cst.ImportFrom) else name.split(".", 1)[0]

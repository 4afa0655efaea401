"""Annotations of the user's that name what the result has no use for any more."""

from __future__ import annotations

from mint_migrate.model.facts import Reference
from mint_migrate.model.source import contains
from mint_migrate.plan.survival import is_written
from mint_migrate.rules.base import Ledger

_MADE = "SimpleNamespace"
"""What a configuration of ours is an object of."""
_KEPT = frozenset({"transformers"})
"""Packages whose tokenizers the result still uses."""


def replace_annotations(ledger: Ledger) -> None:
    """Name what the result makes where only annotations still name a source package.

    Without that, the result would import the package for them alone.
    """
    names: dict[tuple[str, int], list[Reference]] = {}
    for item in ledger.facts.references:
        owner = ledger.owner_of(item.bound, item.scope)
        if owner is not None and item.qualified.partition(".")[0] not in _KEPT:
            names.setdefault((item.bound, owner), []).append(item)
    for name, items in names.items():
        left = [item for item in items if not _is_replaced(ledger, item)]
        if left and all(item.is_annotation for item in left) and not is_written(ledger, name[0]):
            for item in left:
                ledger.replace_expression(item.span, _instead(ledger, item))
            ledger.renamed.add(name)


def _is_replaced(ledger: Ledger, item: Reference) -> bool:
    spans = [*ledger.edits, *ledger.broken]
    return any(contains(span, item.span) for span in spans)


def _instead(ledger: Ledger, item: Reference) -> str:
    is_options = item.qualified.startswith("trl.") and item.qualified.endswith("Config")
    makes_one = any(edit.text and f"{_MADE}(" in edit.text for edit in ledger.edits.values())
    return _MADE if is_options and makes_one else "object"

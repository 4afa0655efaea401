"""Rules: calls, batches, workers and imports of a script that keeps its own code.

The batches of verl are a class of the result with the same methods, so the user's code stays; what
has no counterpart stays under a TODO.
"""

from __future__ import annotations

from mint_migrate.model.facts import (
    BATCH,
    WORKER,
    Argument,
    BatchUse,
    Call,
    ImportedName,
    OverriddenMethod,
)
from mint_migrate.model.plan import Fidelity, Found
from mint_migrate.model.source import Span
from mint_migrate.rules.leftovers import KEPT
from mint_migrate.rules.library.ledger import LibraryLedger
from mint_migrate.rules.library.names import LIBRARIES, Place, own_name, package_of, place_of
from mint_migrate.tables.rows import Row

UNKNOWN = "MM290"
OWN = "a class or function of the script"
_DICTIONARY = frozenset(dir(dict))
_SETTINGS = {
    "base_model": "model.path",
    "max_tokens": "rollout.response_length",
    "temperature": "rollout.temperature",
    "clip_ratio": "actor.clip_ratio",
    "ppo_epochs": "actor.ppo_epochs",
    "learning_rate": "actor.optim.lr",
}
"""Fields of `PolicyClients` and the keys of a worker's configuration that they take over."""


def decide_call(ledger: LibraryLedger, call: Call) -> None:
    """Decide a call and its arguments."""
    if package_of(call.qualified) not in LIBRARIES:
        ledger.decide_call(call, Fidelity.EXACT, None, KEPT)
        return
    row = ledger.tables.row(call.qualified)
    if row is None:
        ledger.decide_call(call, Fidelity.MANUAL, UNKNOWN, _not_known(call.qualified))
        ledger.mark(call.statement, UNKNOWN, _not_known(call.qualified))
        return
    if makes_worker(ledger, call):
        _make_clients(ledger, call, row)
        return
    _by_row(ledger, call.found, row, call.statement)
    for argument in call.arguments:
        _decide_argument(ledger, argument, call.qualified, row, call.statement)


def makes_worker(ledger: LibraryLedger, call: Call) -> bool:
    """Say whether a call builds a worker of verl."""
    return ledger.tables.canonical(call.qualified) == WORKER


def _make_clients(ledger: LibraryLedger, call: Call, row: Row) -> None:
    """Build the clients where a worker was built: the model is the worker's."""
    config = next((item for item in call.arguments if item.keyword == "config"), None)
    config = config or next((item for item in call.arguments if item.index == 0), None)
    if config is None or config.star:
        note = "which model the worker has is not said here; pass it as `base_model`"
        ledger.decide_call(call, Fidelity.MANUAL, "MM361", note)
        ledger.mark(call.statement, "MM361", note)
        return
    # The worker reads these keys without a default of its own, so the configuration has them.
    given = ", ".join(f"{name}={config.value.text}.{key}" for name, key in _SETTINGS.items())
    ledger.replace_expression(call.found.span, f"PolicyClients({given})")
    _by_row(ledger, call.found, row, call.statement)
    for argument in call.arguments:
        _decide_argument(ledger, argument, call.qualified, row, call.statement)


def decide_batch(ledger: LibraryLedger, use: BatchUse) -> None:
    """Decide what is done with a batch or a worker."""
    name = ".".join([use.owner, *use.attributes])
    if use.owner == WORKER and not any(makes_worker(ledger, call) for call in ledger.facts.calls):
        sentence = f"`{use.root}` is a `PolicyClients` here: build one with what the launcher said"
        ledger.differ(use.found, "MM361", sentence)
    row = _row_of(ledger, use, name)
    if row is None:
        ledger.manual(use.found, UNKNOWN, _not_known(name))
        ledger.mark(use.statement, UNKNOWN, _not_known(name))
    else:
        _by_row(ledger, use.found, row, use.statement)
    for argument in use.arguments:
        if argument.found not in ledger.decisions:
            owner = ".".join([use.owner, *use.attributes[:1]])
            _decide_argument(ledger, argument, owner, row, use.statement)


def _row_of(ledger: LibraryLedger, use: BatchUse, name: str) -> Row | None:
    first, *rest = use.attributes
    keyed = ledger.tables.row(f"{name}[{use.key}]") if use.key is not None else None
    if keyed is not None and keyed.id == f"{name}[{use.key}]":
        return keyed
    if use.owner == BATCH and first == "batch" and rest:
        is_there = rest[0] in ledger.library.members["Tensors"] | _DICTIONARY
        return ledger.tables.row(f"{BATCH}.batch.{rest[0]}") if is_there else None
    return ledger.tables.row(f"{use.owner}.{first}")


def _decide_argument(
    ledger: LibraryLedger, argument: Argument, owner: str, outer: Row | None, statement: Span
) -> None:
    row = None
    if argument.keyword is not None:
        row = ledger.tables.row(f"{owner}.{argument.keyword}")
    row = row or ledger.tables.row(f"{owner}.*") or outer
    if row is None:
        ledger.manual(argument.found, UNKNOWN, _not_known(argument.found.name))
        return
    _by_row(ledger, argument.found, row, statement)


def _by_row(ledger: LibraryLedger, found: Found, row: Row, statement: Span) -> None:
    if found in ledger.decisions:
        return
    if row.transform == "keep":
        ledger.exact(found, row, KEPT, row.note)
        return
    ledger.decide(found, row.fidelity, row=row, code=row.code, target=row.to, note=row.note)
    if row.fidelity is Fidelity.MANUAL:
        ledger.mark(statement, row.code or UNKNOWN, row.note)
    elif row.fidelity is Fidelity.APPROXIMATE and row.code is not None:
        ledger.differ(found, row.code, row.note)


def _not_known(name: str) -> str:
    return f"`{name}` is not in the tables"


def decide_override(ledger: LibraryLedger, item: OverriddenMethod) -> None:
    """Decide a method of the user's class: it stays where the result has its base."""
    row = ledger.tables.row(item.base)
    if row is not None and place_of(ledger, item.base) is Place.OWN:
        ledger.exact(item.found, row, KEPT, f"`{own_name(ledger, row)}` is {OWN}")
    elif row is not None and row.transform == "keep":
        ledger.exact(item.found, row, KEPT, row.note)
    elif package_of(item.base) not in LIBRARIES:
        ledger.exact(item.found, row, KEPT)
    else:
        code = row.code if row is not None and row.code is not None else UNKNOWN
        note = row.note if row is not None else _not_known(item.base)
        ledger.manual(item.found, code, note, row)
        ledger.mark(item.class_statement, code, note)


def decide_import(ledger: LibraryLedger, item: ImportedName, *, used: bool) -> bool:
    """Decide an import; return whether the result still has it."""
    row = ledger.tables.row(item.qualified)
    if item.is_star:
        ledger.manual(item.found, "MM291", "a star import hides which names are used", row)
        return True
    place = place_of(ledger, item.qualified)
    if not used and place is not Place.KEPT:
        target = OWN if place is Place.OWN else "no longer imported"
        ledger.exact(item.found, row, target)
        return False
    if place is Place.KEPT:
        note = row.note if row is not None and row.transform == "keep" else ""
        ledger.exact(item.found, row, KEPT, note)
        return True
    note = f"`{item.qualified}` has no counterpart; the script needs it installed"
    ledger.manual(item.found, "MM364", note, row)
    return True

"""Rule: what a script asks about its processes has the answers of one process.

`accelerator = Accelerator()` leaves a namespace with the fields that the script reads, so code such
as `if accelerator.is_main_process:` or `with accelerator.main_process_first():` stays.
"""

from __future__ import annotations

import re

from mint_migrate.model.facts import Call
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.names import MODULE, check_free

MAKERS = frozenset({"accelerate.Accelerator", "accelerate.PartialState"})
CONTEXT = "from contextlib import nullcontext"
FIELDS = {
    "device": '"cpu"',
    "is_last_process": "True",
    "is_local_main_process": "True",
    "is_main_process": "True",
    "local_main_process_first": "nullcontext",
    "local_process_index": "0",
    "main_process_first": "nullcontext",
    "num_processes": "1",
    "print": "print",
    "process_index": "0",
    "wait_for_everyone": "lambda: None",
}
"""What can be asked, and the answer of one process."""
NOTE = "a MinT script runs in one process"


def plan_processes(ledger: Ledger) -> frozenset[str]:
    """Replace each object that is only asked about processes; return the imports that needs.

    Raises:
        Blocked: a name the result needs is something else in the script.
    """
    needed: set[str] = set()
    for call in ledger.facts.calls:
        if call.found in ledger.decisions or ledger.tables.canonical(call.qualified) not in MAKERS:
            continue
        fields = _fields(ledger, call)
        if not fields:
            continue
        target = "SimpleNamespace(...)"
        ledger.exact(call.found, ledger.tables.row(call.qualified), target, NOTE)
        for argument in call.arguments:
            row = ledger.tables.row(f"{call.qualified}.{argument.keyword}")
            ledger.by_row(argument, row or ledger.tables.row(call.qualified))
        lines = [f"    {name}={FIELDS[name]}," for name in fields]
        text = "\n".join([f"{call.target} = SimpleNamespace(  # {NOTE}", *lines, ")"])
        ledger.replace_statement(call.statement, text)
        if any(FIELDS[name] == "nullcontext" for name in fields):
            needed.add(CONTEXT)
    check_free(ledger, MODULE, needed)
    return frozenset(needed)


def _fields(ledger: Ledger, call: Call) -> list[str]:
    """Return what is read of the object, nothing where it is used otherwise."""
    name = call.target
    if name is None or "." in name or not call.is_statement:
        return []
    bound = [item for item in ledger.facts.bindings if item.name == name]
    read = {field for owner, field in ledger.facts.attributes_read if owner == name}
    written = any(owner == name for owner, _ in ledger.facts.attributes_written)
    if len(bound) != 1 or written or not read <= FIELDS.keys():
        return []
    bare = re.compile(rf"(?<![\w.]){re.escape(name)}\b(?!\s*\.)")
    for statement in ledger.facts.statements:
        if statement.span == call.statement or statement.is_compound:
            continue
        if name in statement.loads and bare.search(ledger.text_of(statement.span)):
            return []
    return sorted(read)

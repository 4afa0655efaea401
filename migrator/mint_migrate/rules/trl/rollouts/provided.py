"""Rule: reward functions that TRL ships become functions of the result.

Their rows say so; the text of each is a template of its name under `templates/rewards/`.
"""

from __future__ import annotations

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.state import TrainerPlan

TARGET = "a function of the result"


def plan_provided(plan: TrainerPlan) -> tuple[tuple[str, str], ...]:
    """Return (function, name it is imported under) of what the result defines itself."""
    ledger = plan.ledger
    found = []
    for item in ledger.facts.imports:
        name = ledger.tables.canonical(item.qualified)
        row = ledger.tables.row(name, ledger.version)
        if row is None or row.to != TARGET or item.bound in ledger.provided:
            continue
        ledger.provided.add(item.bound)
        found.append((name.rsplit(".", 1)[-1], item.bound))
        for call in ledger.facts.calls:
            if ledger.tables.canonical(call.qualified) == name:
                ledger.decide_call(call, Fidelity.EXACT, None, TARGET)
    return tuple(found)

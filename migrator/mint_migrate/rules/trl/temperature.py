"""Rule: the temperature that samples are drawn at, where the original's loss has it, too."""

from __future__ import annotations

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import ConfigPlan

NAME = "temperature"
CODE = "MM246"
TARGET = "SamplingParams(temperature=...)"


def uses_temperature_one(config: ConfigPlan) -> bool:
    """Say whether samples are drawn at temperature 1, as far as the script shows it."""
    return not config.is_dynamic(NAME) and config.literal(NAME) in {1}


def decide_temperature(config: ConfigPlan, note: str, *, is_exact: bool) -> None:
    """Decide the temperature; *note* says what differs where it is not exact.

    A default that differs has no argument to stand at, so it becomes a notice.
    """
    if is_exact:
        config.exact(NAME, TARGET)
    elif config.has(NAME):
        config.decide(NAME, Fidelity.APPROXIMATE, CODE, TARGET, note)
        config.ledger.differ(config.arguments[NAME].found, CODE, note, config.place)
    else:
        config.ledger.notices.append(f"{CODE}: the default temperature of this release: {note}")

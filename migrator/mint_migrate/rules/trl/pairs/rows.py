"""Rule: which columns preference rows have, and which lengths cut them."""

from __future__ import annotations

import re

from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan

STREAMING = re.compile(r"\bstreaming\s*=\s*True\b")
ANSWERS = frozenset({"chosen", "rejected"})
LABELED = frozenset({"completion", "label"})
DEFAULT_PROMPT_LENGTH = "128"
"""What an unset `max_prompt_length` means where there is one."""


def check_not_streamed(ledger: Ledger) -> None:
    """Raise `Blocked` where the data set has no length."""
    if STREAMING.search(ledger.facts.text):
        raise Blocked(
            "MM503", "the data set is streamed; the loop needs its length, so load it whole"
        )


def known_columns(ledger: Ledger) -> frozenset[str]:
    """Return the columns of preference rows that the script makes, else those that it reads."""
    wanted = ANSWERS | LABELED | {"prompt"}
    made = wanted & set(ledger.facts.produced_columns)
    return made or wanted & set(ledger.facts.read_columns)


def notice_columns(ledger: Ledger, what: str) -> None:
    """Say that the result looks at the columns when it runs."""
    ledger.notices.append(
        f"MM501: the script does not show the data set's columns; {what} looks at them when it runs"
    )


def maximal_length(config: ConfigPlan, name: str, unset: str | None) -> str:
    """Decide a length and return its expression, "" where nothing is cut.

    Args:
        config: the configuration.
        name: the option: `max_length` or `max_prompt_length`.
        unset: what None means in this release; None where it cuts nothing.
    """
    argument = config.arguments.get(name)
    if argument is not None and argument.value.literal != "None":
        config.keep(name)
        return f"config.{name}"
    default = config.default(name) if argument is None else None
    value = default if default not in {None, "None"} else unset
    if value is None:
        config.exact(name, "no truncation")
        return ""
    config.exact(name, f"config.{name}", f"None means {value} in this release")
    config.need(name, value)
    return f"config.{name}"

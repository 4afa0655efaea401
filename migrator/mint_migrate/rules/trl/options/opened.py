"""Rule: which options of a configuration the loop reads when it runs.

An option that the script leaves to its command line, or to a dictionary, counts as given with an
expression. Where a rule needs its value to write the loop, the plan is made again without it: then
the loop is written for its default, and the result refuses any other value.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from mint_migrate.model.facts import Argument, Value
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import JOINED, OLDER_NAMES, RENAMED, ConfigPlan
from mint_migrate.rules.trl.options.source import KEYWORDS, OptionSource

CHOSEN_LATER = frozenset(
    {
        "lr_scheduler_type",
        "eval_strategy",
        "evaluation_strategy",
        "eval_steps",
        "save_strategy",
        "save_steps",
        "save_total_limit",
    }
)
"""Choices that every loop can make when it runs."""
RESUME = "resume_from_checkpoint"
"""Handed to the call that trains by the user's code."""
UNSET = {
    "eval_steps": "self.logging_steps if self.eval_steps is None else self.eval_steps",
    "data_seed": "self.seed if self.data_seed is None else self.data_seed",
}
"""What an option means that is left at None."""
OLD_AND_NEW = {"max_seq_length": "max_length", "evaluation_strategy": "eval_strategy"}
"""Options that were renamed, where a release takes both and the old one wins."""


def open_options(config: ConfigPlan, source: OptionSource, further: frozenset[str]) -> None:
    """Add to *config* the options that are only known when the script runs.

    Args:
        config: the configuration, with the options that the script gives itself.
        source: where the others come from.
        further: options of this trainer that its loop reads under their own name.
    """
    fixed = config.ledger.fixed_options
    opened = set()
    for name in sorted(source.accepted):
        if name in config.arguments:
            if source.via == KEYWORDS:
                _read_given(config, source, name)
        elif name not in fixed and _may_open(config, name, further):
            config.arguments[name] = _argument(source, name)
            opened.add(name)
    source.settled = {
        name: text for name, text in UNSET.items() if name in opened and _is_unset(config, name)
    }
    for old, new in OLD_AND_NEW.items():
        if {old, new} <= opened:
            del config.arguments[old]
            opened.discard(old)
            source.settled[new] = f"self.{new} if self.{old} is None else self.{old}"
    config.open = frozenset(opened)


def _read_given(config: ConfigPlan, source: OptionSource, name: str) -> None:
    """The loop reads an option the script gives from the configuration, which is given it."""
    argument = config.arguments[name]
    source.given[name] = argument.value.text
    if name not in CHOSEN_LATER and _may_open(config, name, frozenset()):
        value = replace(argument.value, text=f"self.{name}", name=None)
        config.arguments[name] = replace(argument, value=value)


def _may_open(config: ConfigPlan, name: str, further: frozenset[str]) -> bool:
    if name in OLDER_NAMES or name == RESUME:
        return False
    if name in config.carried or name in JOINED or name in RENAMED:
        return True
    if name in CHOSEN_LATER or name in further:
        return True
    return name in config.decided and _is_number(config.default(name))


def _is_number(default: str | None) -> bool:
    value = ast.literal_eval(default) if default is not None else None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_unset(config: ConfigPlan, name: str) -> bool:
    return config.default(name) in {None, "None"}


def _argument(source: OptionSource, name: str) -> Argument:
    found = source.stand_in(name)
    value = Value(
        text=f"self.{name}",
        span=found.span,
        literal=None,
        name=None,
        call=None,
        maker=None,
        loads=(),
    )
    return Argument(
        found=found, keyword=name, index=-1, star="", value=value, comments=(), trailing=""
    )


def option_behind(problem: Blocked, ledger_fixed: frozenset[str]) -> str | None:
    """Return the option whose value a plan needed, where it is one that was left open."""
    if problem.found is None or problem.found.kind != "flag":
        return None
    name = problem.found.name.rsplit(".", 1)[-1]
    return None if name in ledger_fixed else name

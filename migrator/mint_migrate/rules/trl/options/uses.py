"""What the user's code does with a configuration whose options are only known when it runs."""

from __future__ import annotations

import ast

from mint_migrate.model.facts import Statement
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.options.classes import OF_ONE_PROCESS
from mint_migrate.rules.trl.options.source import OptionSource
from mint_migrate.rules.trl.state import BuiltTrainer


def check_option_uses(plan: BuiltTrainer, source: OptionSource) -> None:
    """Make fields of what is read; take out what sets options that have no effect.

    Raises:
        Blocked: code reads what the result's configuration does not have, or sets an option that
            decides what the loop looks like.
    """
    config = plan.config
    own = {item.name for item in source.own.fields} if source.own is not None else set()
    for attribute in sorted(plan.read_elsewhere - set(config.fields) - own):
        if attribute in OF_ONE_PROCESS:
            continue
        default = config.default(attribute)
        if default is None or attribute not in source.accepted:
            _check_known(plan, attribute)
            continue
        config.put(attribute, f"self.{attribute}" if attribute in config.open else default)
    for owner, attribute in plan.ledger.facts.attributes_written:
        if owner in plan.config_names and attribute not in config.fields:
            _take_out(plan, source, owner, attribute)


def _check_known(plan: BuiltTrainer, attribute: str) -> None:
    written = {
        attr for owner, attr in plan.ledger.facts.attributes_written if owner in plan.config_names
    }
    if attribute not in written:
        name = plan.config_variable
        raise Blocked(
            "MM230", f"`{name}.{attribute}` is read; the result's options have no such one"
        )


def _take_out(plan: BuiltTrainer, source: OptionSource, owner: str, attribute: str) -> None:
    """Remove the statements that set an option without effect."""
    ledger = plan.ledger
    row = plan.config.row(attribute)
    if attribute not in source.accepted or row is None:
        return
    for statement in ledger.facts.statements:
        value = _value_set(plan, statement, owner, attribute)
        if value is None:
            continue
        is_neutral = value in row.neutral or value == plan.config.default(attribute)
        if (row.fidelity is Fidelity.MANUAL and not is_neutral) or attribute in plan.config.decided:
            raise Blocked(
                "MM292",
                f"`{owner}.{attribute}` is set on line {statement.span.line} and decides what the "
                "loop looks like",
            )
        for call in ledger.calls_inside(statement.span):
            ledger.decide_call(call, Fidelity.DROPPED, row.code or "MM211", row.note)
        ledger.remove_statement(statement.span)
        ledger.notices.append(
            f"{row.code or 'MM211'}: `{owner}.{attribute}`, set on line {statement.span.line}, has "
            "no effect on MinT"
        )


def _value_set(plan: BuiltTrainer, statement: Statement, owner: str, attribute: str) -> str | None:
    """Return what a statement sets the attribute to, as text; None where it does not."""
    if statement.is_compound:
        return None
    text = plan.ledger.text_of(statement.span)
    if f"{owner}.{attribute}" not in text:
        return None
    node = ast.parse(text).body[0]
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return None
    is_it = ast.unparse(node.targets[0]) == f"{owner}.{attribute}"
    return ast.unparse(node.value) if is_it else None

"""Rule: what is done with the trainer and the model besides training."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from textwrap import indent

from mint_migrate.model.facts import Argument, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import Edit, Names
from mint_migrate.model.source import Span, contains
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.branches import condition_between
from mint_migrate.tables.rows import Row

SAVES = frozenset({"save_model", "save_pretrained", "model.save_pretrained", "_save"})
NEED_CLIENT = SAVES | {"evaluate", "state.log_history"}
CONSTANTS = {
    "is_world_process_zero": "True",
    "is_local_process_zero": "True",
    "accelerator.is_main_process": "True",
    "accelerator.is_local_main_process": "True",
    "is_fsdp_enabled": "False",
    "is_deepspeed_enabled": "False",
}


@dataclass(frozen=True, slots=True)
class AfterTraining:
    """What later statements may refer to."""

    names: Names
    config: str
    evaluation_rows: str | None
    """Expression for the rows that `evaluate` takes, `{dataset}` standing for the data set."""
    eval_dataset: str | None
    train_statement: Span
    scope: int
    """The scope that training stands in."""


def plan_use(ledger: Ledger, use: Use, context: AfterTraining | None) -> bool:
    """Decide one use of a trainer or model; return whether it needs the `evaluate` function."""
    is_after = context is not None and _is_trained(ledger, use, context)
    condition = _condition(ledger, use, context) if is_after else ""
    if condition is None:
        _by_row(ledger, use, "training may not have happened here")
        return False
    if context is not None and is_after and use.is_call and use.chain in SAVES and use.is_statement:
        _save(ledger, use, context, condition)
        return False
    if condition:
        _by_row(ledger, use, "training may not have happened here")
        return False
    if context is not None and is_after and use.is_call and use.chain == "evaluate":
        if _evaluate(ledger, use, context):
            return True
    elif (
        is_after
        and context is not None
        and use.chain == "state.log_history"
        and _is_replaceable(ledger, use.statement)
    ):
        _history(ledger, use, context)
        return False
    elif use.chain in CONSTANTS and _is_replaceable(ledger, use.statement):
        text = CONSTANTS[use.chain]
        ledger.exact(use.found, _row(ledger, use), text, "a MinT script runs in one process")
        _arguments(ledger, use, Fidelity.EXACT, None, "")
        ledger.edits[use.found.span] = Edit(span=use.found.span, text=text, is_statement=False)
        return False
    _by_row(ledger, use)
    return False


def _condition(ledger: Ledger, use: Use, context: AfterTraining | None) -> str | None:
    """Return the condition under which there is a trained client, as `condition_between` does."""
    if context is None or use.scope != context.scope or use.chain not in NEED_CLIENT:
        return ""
    return condition_between(ledger.facts.text, context.train_statement, use.statement)


def _is_trained(ledger: Ledger, use: Use, context: AfterTraining) -> bool:
    """Say whether training is over where the object is used: below it, and not where it failed.

    A function that does not see the trained client is no such place.
    """
    train_statement = context.train_statement
    scope: int | None = use.scope
    while scope is not None and scope != context.scope:
        scope = ledger.facts.scopes[scope].parent
    if scope is None and not context.names["client"].startswith("self."):
        return False
    failed = any(
        contains(body, train_statement) and contains(handler, use.statement)
        for body, handler in ledger.facts.handlers
    )
    return train_statement < use.statement and not failed


def _row(ledger: Ledger, use: Use) -> Row | None:
    owner = use.found.name.removesuffix(f".{use.chain}")
    chain = use.chain.replace("()", "")
    if owner == "model":
        return ledger.tables.row(f"model.{chain}")
    found = ledger.tables.attribute_row(ledger.tables.canonical(owner), chain)
    if found is None and chain.startswith("model."):
        found = ledger.tables.row(chain)
    return found


def _is_replaceable(ledger: Ledger, statement: Span) -> bool:
    """Say whether an expression of the statement can be replaced: not in the headers of most
    compound ones.
    """
    if not any(item.span == statement and item.is_compound for item in ledger.facts.statements):
        return True
    return ledger.text_of(statement).startswith(("if", "elif", "while", "for", "async for"))


def _save(ledger: Ledger, use: Use, context: AfterTraining, condition: str) -> None:
    target = use.arguments[0].value.text if use.arguments else f"{context.config}.output_dir"
    literal = use.arguments[0].value.literal if use.arguments else None
    note = (
        "weights and optimizer stay on the server under this path; download them to use them "
        "elsewhere"
    )
    if condition:
        note += "; without training there is nothing to save"
    ledger.decide(
        use.found,
        Fidelity.APPROXIMATE,
        row=_row(ledger, use),
        code="MM231",
        target="TrainingClient.save_state",
        note=note,
    )
    ledger.differ(use.found, "MM231", note, use.statement)
    for index, argument in enumerate(use.arguments):
        if index == 0 and not argument.star:
            ledger.exact(argument.found, None, "save_state(name=...)")
        else:
            ledger.decide(
                argument.found, Fidelity.DROPPED, code="MM231", note="decides how files are written"
            )
    name = context.names["checkpoint"]
    text = (
        f"{name} = "
        f"{context.names['client']}.save_state(name={checkpoint_name(target, literal)}).result()\n"
        f'print(f"saved as {{{name}.path}}")'
    )
    if condition:
        text = f"if {condition}:\n{indent(text, '    ')}"
    ledger.replace_statement(use.statement, text)


def checkpoint_name(text: str, literal: str | None) -> str:
    """Return an expression for a checkpoint's name, which may not hold a slash."""
    if literal is not None and literal[:1] in "'\"":
        path = literal[1:-1].rstrip("/")
        return f'"{path.rsplit("/", 1)[-1] or "final"}"'
    return f"Path({text}).name"


def _history(ledger: Ledger, use: Use, context: AfterTraining) -> None:
    """The log of the run is what the loop wrote to `metrics.jsonl`."""
    note = "one entry for every step, with the names the loop writes"
    ledger.decide(
        use.found,
        Fidelity.APPROXIMATE,
        row=_row(ledger, use),
        code="MM226",
        target="metrics.jsonl",
        note=note,
    )
    ledger.differ(use.found, "MM226", note)
    path = f'(Path({context.config}.output_dir) / "metrics.jsonl")'
    text = f"[json.loads(line) for line in {path}.read_text().splitlines()]"
    ledger.edits[use.found.span] = Edit(span=use.found.span, text=text, is_statement=False)


def _evaluate(ledger: Ledger, use: Use, context: AfterTraining) -> bool:
    """Write an evaluation call; return False where the data set cannot be named."""
    dataset = context.eval_dataset
    for argument in use.arguments:
        if argument.keyword == "eval_dataset" or argument.index == 0:
            dataset = argument.value.text
    if dataset is None or any(item.keyword not in {None, "eval_dataset"} for item in use.arguments):
        return False
    if context.evaluation_rows is None or not _is_replaceable(ledger, use.statement):
        return False
    rows = context.evaluation_rows.replace("{dataset}", _iterable(dataset))
    ledger.exact(
        use.found,
        _row(ledger, use),
        f"{context.names['evaluate']}()",
        "the result has `eval_loss` only",
    )
    _arguments(ledger, use, Fidelity.EXACT, None, "")
    names = context.names
    call = f"{names['evaluate']}({names['client']}, {{}}, {context.config})"
    if use.is_statement:
        result = f"{use.target} = " if use.target is not None else "print"
        value = '{"eval_loss": ' + call.format(names["rows"]) + "}"
        value = value if use.target is not None else f"({value})"
        ledger.replace_statement(use.statement, f"{names['rows']} = {rows}\n{result}{value}")
    else:
        text = f'{{"eval_loss": {call.format(rows)}}}'
        ledger.edits[use.found.span] = Edit(span=use.found.span, text=text, is_statement=False)
    return True


def _iterable(text: str) -> str:
    """Return an expression so that it may stand behind the `in` of a comprehension."""
    is_choice = isinstance(ast.parse(text, mode="eval").body, ast.IfExp)
    return f"({text})" if is_choice else text


def _by_row(ledger: Ledger, use: Use, reason: str = "") -> None:
    row = _row(ledger, use)
    if (
        row is not None
        and row.fidelity is Fidelity.DROPPED
        and use.is_statement
        and use.target is None
    ):
        ledger.decide(use.found, row.fidelity, row=row, code=row.code, target=row.to, note=row.note)
        _arguments(ledger, use, row.fidelity, row.code, row.note)
        ledger.remove_statement(use.statement)
        return
    is_converted = row is not None and row.fidelity is Fidelity.EXACT
    code = row.code if row is not None and row.code and not is_converted else "MM230"
    note = reason or f"there is no `{use.root}` any more"
    if row is not None and row.note and not is_converted and not reason:
        note = row.note
    ledger.manual(use.found, code, note, row)
    _arguments(ledger, use, Fidelity.MANUAL, code, note)
    ledger.mark_broken(use.statement, code, note)


def _arguments(ledger: Ledger, use: Use, fidelity: Fidelity, code: str | None, note: str) -> None:
    for argument in use.arguments:
        decide_argument(ledger, argument, fidelity, code, note)


def decide_argument(
    ledger: Ledger, argument: Argument, fidelity: Fidelity, code: str | None, note: str
) -> None:
    """Decide an argument like the call it belongs to."""
    if argument.found in ledger.decisions:
        return
    ledger.decide(argument.found, fidelity, code=code, note=note)
    for element in argument.elements:
        ledger.decide(element, fidelity, code=code, note=note)
    for call in ledger.calls_inside(argument.value.span):
        ledger.decide_call(call, fidelity, code, note)

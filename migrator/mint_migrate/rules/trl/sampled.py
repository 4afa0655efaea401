"""Rule: `model.generate(...)` beside the training is answered by a sampling client.

A variable that held the model is bound to an object with the `generate` of transformers instead:
of the base model before training, of the trained adapter after it. Code that samples from it, in
functions of the file as well, stays as it is.
"""

from __future__ import annotations

import ast

from mint_migrate.model.facts import Call, Statement, Use
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.source import Span, contains
from mint_migrate.rules.base import Ledger
from mint_migrate.rules.trl.state import TrainerPlan

CODE = "MM229"
NOTE = (
    "sampled by the server: greedy text is the same up to rounding, drawn text differs, and the "
    "model's own generation settings are not read"
)
ARGUMENTS = frozenset(
    {
        "input_ids",
        "attention_mask",
        "max_new_tokens",
        "do_sample",
        "temperature",
        "top_p",
        "top_k",
        "num_return_sequences",
        "eos_token_id",
        "pad_token_id",
        "use_cache",
    }
)
"""What `generate` of the result takes."""
ATTRIBUTES = frozenset({"generate", "device"})
"""What a function may do with the model it is given."""


def plan_sampling(plan: TrainerPlan) -> None:
    """Bind the model's variables to sampling clients where the script samples from them."""
    for name, scope in dict.fromkeys(plan.model.variables):
        if scope != plan.trainer.scope or ("." in name and plan.model.carried):
            continue
        places = _sampling_places(plan, name, scope)
        if not places:
            continue
        plan.samples = True
        plan.ledger.removed.pop((name, scope), None)
        if any(place < plan.train_use.statement for place in places):
            _load_base(plan, name, scope)
        if any(place > plan.train_use.statement for place in places):
            plan.sampled_after.append(name)


def decide_trainer_sampling(plan: TrainerPlan, use: Use, client: str) -> bool:
    """Write `trainer.model.generate(...)` with a sampling client; say whether it was that."""
    if use.chain != "model.generate" or not use.is_call or not _is_understood(use):
        return False
    if use.statement < plan.train_use.statement:
        return False
    given = ", ".join(argument.found.source_text for argument in use.arguments)
    model = f"{plan.names['sampled_model']}({client}.save_weights_and_get_sampling_client())"
    _decide(plan.ledger, use)
    plan.ledger.replace_expression(use.found.span, f"{model}.generate({given})")
    plan.samples = True
    return True


def _sampling_places(plan: TrainerPlan, name: str, scope: int) -> list[Span]:
    """Return the statements that sample from the variable; decide what they call."""
    ledger = plan.ledger
    numbers = {call.number for call in plan.model.calls}
    uses = [
        use
        for use in ledger.facts.uses
        if use.root == name and use.call in numbers and ledger.owner_of(name, use.scope) == scope
        if not plan.model.carried or use.statement > plan.train_use.statement
    ]
    places = []
    for use in uses:
        if use.chain == "generate" and use.is_call and _is_understood(use):
            _decide(ledger, use)
            places.append(use.statement)
    bare = [
        statement
        for statement in ledger.facts.statements
        if name in statement.loads
        and ledger.owner_of(name, statement.scope) == scope
        and _num_bare(plan, statement, name, uses)
        and not _goes(ledger, statement)
        and (not plan.model.carried or statement.span > plan.train_use.statement)
    ]
    handing = [item for item in bare if _hands_over(plan, item, name)]
    places += [item.span for item in handing]
    if not places:
        return []
    for use in [*uses, *_uses_of_parameters(plan)]:
        if use.found in ledger.decisions:
            continue
        if use.chain == "device":
            ledger.exact(use.found, ledger.tables.row("model.device"), '"cpu"')
        elif use.chain == "generate" and use not in uses:
            _decide(ledger, use)
    for statement in bare:
        if statement not in handing:
            ledger.mark_broken(statement.span, "MM228", f"`{name}` can do nothing but sample now")
            ledger.needs_person(name, scope, statement.span, "MM228")
    return places


def _uses_of_parameters(plan: TrainerPlan) -> list[Use]:
    """Return what functions that only sample do with the model they are given."""
    ledger = plan.ledger
    samplers = {
        (fact.name, parameter)
        for fact in ledger.facts.functions
        for parameter in fact.parameters
        if _only_samples(ledger, fact.name, -1, parameter)
    }
    found = []
    for use in ledger.facts.uses:
        owner = ledger.owner_of(use.root, use.scope)
        name = "" if owner is None else ledger.facts.scopes[owner].name
        if (name, use.root) in samplers:
            found.append(use)
    return found


def _is_understood(use: Use) -> bool:
    return bool(use.arguments) and all(
        argument.star == "**"
        or argument.keyword in ARGUMENTS
        or (argument.index == 0 and not argument.star)
        for argument in use.arguments
    )


def _decide(ledger: Ledger, use: Use) -> None:
    row = ledger.tables.row("model.generate")
    target = "SamplingClient.sample"
    ledger.decide(use.found, Fidelity.APPROXIMATE, row=row, code=CODE, target=target, note=NOTE)
    ledger.differ(use.found, CODE, NOTE)
    for argument in use.arguments:
        ledger.decide(argument.found, Fidelity.APPROXIMATE, code=CODE, target=target, note=NOTE)


def _num_bare(plan: TrainerPlan, statement: Statement, name: str, uses: list[Use]) -> int:
    """Return how often a statement of the user's reads the bare name."""
    own = [call.statement for call in (*plan.model.calls, plan.trainer)]
    if any(contains(span, statement.span) for span in own):
        return 0
    chains = sum(use.statement == statement.span for use in uses)
    return plan.ledger.mentions(statement.span, name) - chains


def _goes(ledger: Ledger, statement: Statement) -> bool:
    """Say whether a statement is a call that the result needs no more: `for_inference(model)`."""
    calls = [call for call in ledger.facts.calls if call.statement == statement.span]
    rows = [ledger.tables.row(ledger.tables.canonical(call.qualified)) for call in calls]
    return bool(calls) and all(
        call.is_statement and not call.targets and row is not None and row.transform == "drop"
        for call, row in zip(calls, rows, strict=True)
    )


def _hands_over(plan: TrainerPlan, statement: Statement, name: str) -> bool:
    """Say whether a statement gives the model, by its bare name, to functions that only sample."""
    ledger = plan.ledger
    if statement.is_compound:
        return False
    node = ast.parse(ledger.text_of(statement.span)).body[0]
    handed = [
        (call, index, keyword)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        for index, keyword, value in _arguments(call)
        if isinstance(value, ast.Name) and value.id == name
    ]
    names = sum(isinstance(item, ast.Name) and item.id == name for item in ast.walk(node))
    return len(handed) == names and all(
        _only_samples(ledger, call.func.id, index, keyword)
        for call, index, keyword in handed
        if isinstance(call.func, ast.Name)
    )


def _arguments(call: ast.Call) -> list[tuple[int, str | None, ast.expr]]:
    positional = [(index, None, value) for index, value in enumerate(call.args)]
    return [*positional, *((-1, item.arg, item.value) for item in call.keywords)]


def _only_samples(ledger: Ledger, function: str, index: int, keyword: str | None) -> bool:
    found = [item for item in ledger.facts.functions if item.name == function]
    if len(found) != 1:
        return False
    parameters = found[0].parameters
    name = keyword if keyword is not None else parameters[index] if index < len(parameters) else ""
    done = {action for parameter, action in found[0].parameter_uses if parameter == name}
    return bool(done) and done <= ATTRIBUTES and "generate" in done


def _load_base(plan: TrainerPlan, name: str, scope: int) -> None:
    """Bind the variable to the base model where it was loaded."""
    ledger = plan.ledger
    loader = plan.model.calls[-1]
    client = f"mint.ServiceClient().create_sampling_client(base_model={plan.model.base_model})"
    text = f"{name} = {plan.names['sampled_model']}({client})"
    edit = ledger.edits.get(loader.statement)
    kept = edit.text if edit is not None and edit.text is not None else None
    if not _binds(loader, name):
        return
    ledger.replace_statement(loader.statement, text if kept is None else f"{kept}\n{text}")


def _binds(call: Call, name: str) -> bool:
    return call.is_statement and name in call.targets

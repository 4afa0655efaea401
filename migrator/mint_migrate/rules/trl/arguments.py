"""What a trainer is given: its arguments by name, its configuration, the call that trains."""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call, Use, Value
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.model_plan import ModelPlan


def bind_arguments(ledger: Ledger, kind: TrainerKind, trainer: Call) -> dict[str, Argument]:
    """Return the arguments by name, positional ones included; `tokenizer` is `processing_class`.

    Raises:
        Blocked: arguments are hidden behind `*` or `**`, or two are the same.
    """
    positional = kind.positional(ledger.version)
    arguments: dict[str, Argument] = {}
    for argument in trainer.arguments:
        if argument.star:
            raise Blocked(
                "MM291",
                f"`{argument.found.source_text}` hides what the trainer is given; write it "
                "out as keywords",
                argument.found,
            )
        ledger.check_splat(trainer, argument)
        name = argument.keyword
        if name is None:
            if argument.index >= len(positional):
                raise Blocked("MM291", "too many positional arguments; name them", argument.found)
            name = positional[argument.index]
        name = "processing_class" if name == "tokenizer" else kind.synonyms.get(name, name)
        if name in arguments:
            raise Blocked("MM291", f"`{name}` is given twice", argument.found)
        arguments[name] = argument
    return arguments


def find_training(ledger: Ledger, trainer: Call) -> Use:
    """Return the one call of the trainer's `train`.

    Raises:
        Blocked: there is none, several, or one that cannot be replaced.
    """
    if trainer.target is not None:
        is_global = ledger.owner_of(trainer.target, trainer.scope) != trainer.scope
        if is_global and not trainer.target.startswith("self."):
            raise Blocked(
                "MM238", f"`{trainer.target}` is a global variable of another scope", trainer.found
            )
    name = trainer.target or "the trainer"
    uses = [use for use in ledger.uses_of(trainer) if use.chain == "train" and use.is_call]
    if len(uses) != 1:
        found = "never trained here" if not uses else f"trained {len(uses)} times"
        raise Blocked(
            "MM238",
            f"`{name}` is {found}; one `train()` in the same file is converted",
            trainer.found,
        )
    use = uses[0]
    if not use.is_statement:
        raise Blocked("MM238", "`train()` stands inside an expression", use.found)
    if use.scope == trainer.scope and not _is_reached(ledger, trainer.statement, use.statement):
        raise Blocked(
            "MM238", "`train()` is called where the trainer may not have been built", use.found
        )
    return use


def _is_reached(ledger: Ledger, built: Span, trained: Span) -> bool:
    return built < trained and any(item.span == built for item in ledger.facts.statements)


def find_config(
    ledger: Ledger, kind: TrainerKind, trainer: Call, arguments: dict[str, Argument]
) -> tuple[Call | None, Value | None]:
    """Find the configuration the trainer is given: inline, through a name, or absent."""
    argument = arguments.get("args")
    if argument is None or argument.value.literal == "None":
        return None, None
    value = argument.value
    if value.call is None and value.name is not None:
        binding = ledger.binding_of(value.name, trainer.scope, trainer.statement)
        value = binding.value if binding is not None and binding.value is not None else value
    call = ledger.returned_call(value) if value.call is None else ledger.call_of(value.call)
    if call is None:
        raise Blocked(
            "MM292",
            f"where the configuration `{argument.value.text}` is made cannot be seen",
            argument.found,
        )
    check_owner(kind, ledger.tables.canonical(call.qualified), argument)
    ledger.check_unclaimed(call)
    return call, argument.value


def check_owner(kind: TrainerKind, owner: str, argument: Argument) -> None:
    """The class of a configuration must be one that the trainer takes.

    Raises:
        Blocked: it is not.
    """
    if owner not in kind.configs:
        raise Blocked(
            "MM292",
            f"`{owner}` is not a configuration of `{kind.trainer.removeprefix('trl.')}`",
            argument.found,
        )


def adopt_old_arguments(
    config: ConfigPlan, arguments: dict[str, Argument], names: tuple[str, ...]
) -> None:
    """Take over options that once belonged to the trainer; the configuration wins."""
    for name in names:
        if name not in arguments:
            continue
        _check_known(config, arguments[name])
        if not config.has(name):
            config.arguments[name] = arguments[name]


def adopt_model_length(config: ConfigPlan, model: ModelPlan) -> None:
    """Take the length that the model's loader was given, where the trainer is given none."""
    names = ("max_seq_length", "max_length")
    field = next((name for name in names if name in config.decided | config.carried), None)
    if model.max_length is None or field is None or any(config.has(name) for name in names):
        return
    config.arguments[field] = model.max_length


def _check_known(config: ConfigPlan, argument: Argument) -> None:
    """What moves from the trainer to its configuration must mean the same there."""
    late = [
        item.name
        for item in config.ledger.facts.bindings
        if item.name in argument.value.loads
        and config.place < item.statement < argument.found.span
        and item.kind != "parameter"
    ]
    if late:
        raise Blocked(
            "MM238", f"`{late[0]}` is set between the configuration and the trainer", argument.found
        )

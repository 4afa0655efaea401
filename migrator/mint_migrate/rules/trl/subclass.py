"""Rule: a subclass of a trainer, defined in the script.

One that overrides nothing is its base under another name. What a method adds around training is
named and goes; a method that decides what is trained stops the conversion.
"""

from __future__ import annotations

from mint_migrate.model.facts import Call, OverriddenMethod
from mint_migrate.model.source import Span
from mint_migrate.rules.base import Blocked, Ledger

CODE = "MM202"
AROUND = frozenset(
    {
        "_save",
        "_save_checkpoint",
        "create_model_card",
        "floating_point_ops",
        "log",
        "push_to_hub",
        "save_metrics",
        "save_model",
        "save_state",
        "store_flos",
    }
)
"""Methods whose overrides say or keep something, and leave the training as it is."""


def check_subclass(ledger: Ledger, trainer: Call) -> None:
    """Decide the methods of a trainer's own class.

    Raises:
        Blocked: one of them changes what is trained.
    """
    if trainer.own_class is None:
        return
    methods = [item for item in ledger.facts.overridden if item.class_name == trainer.own_class]
    changed = [item for item in methods if _name(item) not in AROUND]
    if changed:
        names = ", ".join(f"`{_name(item)}`" for item in changed)
        raise Blocked(
            CODE,
            f"`{trainer.own_class}` overrides {names} of `{trainer.qualified}`, and with that what "
            "is trained; write it into the loop by hand",
            changed[0].found,
        )
    place = _definition(ledger, trainer.own_class, methods)
    if place is None:
        raise Blocked(CODE, f"`{trainer.own_class}` is more than one class", trainer.found)
    for item in methods:
        if item.found not in ledger.decisions:
            note = f"nothing calls `{trainer.own_class}.{_name(item)}` any more"
            ledger.manual(item.found, CODE, note, ledger.tables.row(item.base))
            ledger.mark_broken(place, CODE, note)
    if not methods:
        ledger.remove_statement(place)
        ledger.removed[(trainer.own_class, 0)] = CODE


def _name(item: OverriddenMethod) -> str:
    return item.found.name.rsplit(".", 1)[-1]


def _definition(ledger: Ledger, name: str, methods: list[OverriddenMethod]) -> Span | None:
    places = {
        item.statement
        for item in ledger.facts.bindings
        if item.name == name and item.kind == "class"
    } | {item.class_statement for item in methods}
    return places.pop() if len(places) == 1 else None

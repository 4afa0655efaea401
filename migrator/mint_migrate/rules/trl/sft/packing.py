"""Rule: rows that TRL packs come in the same packs, in the same order.

Rows of a pack (`bfd`) do not see each other, so each stays a sequence of its own, and a pack only
says which rows share a step. Wrapped rows are joined and cut anew, and one pack is one sequence.
Sources: TRL v1.9.0 and v0.18.2, `data_utils.py`.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.sft_script import DataScript, PackScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import Windows

STRATEGIES = {"ffd": "whole", "bfd": "whole", "bfd_split": "split", "wrapped": "wrapped"}
PACKING = frozenset({"packing", "packing_strategy", "eval_packing", "padding_free"})
"""Options that `plan_packing` decides."""
MANUAL = {
    True: "this release fills sequences from rows in random order, which cannot be repeated; the "
    "rows are trained one by one",
    False: "whether rows are packed is only known at run time; they are trained one by one",
}
"""What is left to a person, by whether the release has a buffer."""
FIRST_TOKENS = (
    "this release also predicted the first token of each row of a batch without padding, from the "
    "row before it; the result does not"
)

Facts = dict[str, str | bool | int | None]


def plan_packing(plan: TrainerPlan, windows: Windows, facts: Facts) -> PackScript | None:
    """Decide whether and how rows are packed; None where the rows decide, or nobody packs.

    Raises:
        Blocked: the rows are packed in a way that is not converted.
    """
    config = plan.config
    has_rule = facts["packing"] != "constant_length" and not config.is_dynamic("packing")
    if not config.has("packing") or not has_rule or not config.literal("packing"):
        _unpacked(config, facts)
        return None
    how = _strategy(config, facts)
    evaluates_packs = config.literal("eval_packing") if config.row("eval_packing") else None
    evaluates_packs = evaluates_packs is not False
    if not evaluates_packs and how != "whole" and plan.given("eval_dataset") is not None:
        found = config.arguments["eval_packing"].found
        note = "rows that are cut for training and not for evaluation are not converted"
        raise Blocked("MM214", note, found)
    if how != "wrapped" and (windows.averages or windows.epoch_end == "carried_over"):
        note = "packs of whole rows with averages of micro-batches are not converted"
        raise Blocked("MM214", note, config.arguments["packing"].found)
    if config.has("max_length") and config.arguments["max_length"].value.literal == "None":
        raise Blocked("MM214", "packing needs `max_length`", config.arguments["max_length"].found)
    _decide(plan, how, facts)
    return PackScript(how=how, evaluation=evaluates_packs, shuffled=_is_shuffled(config))


def packed(data: DataScript, packing: PackScript) -> DataScript:
    """Return the rows as they are packed: cut by the packer alone, and none left out."""
    cut = "[: config.max_length]" if packing.how == "whole" else ""
    return replace(data, cut=cut, drops_masked=False)


def is_flat(config: ConfigPlan, packing: PackScript | None) -> bool:
    """Say whether batches had no padding, so that no first token was a label."""
    whole = packing is not None and packing.how != "wrapped"
    return whole or (config.text("padding_free") == "True")


def _unpacked(config: ConfigPlan, facts: Facts) -> None:
    """Decide the options of packing where the result packs nothing."""
    names = ("packing", "eval_packing") if config.has("packing") else ("eval_packing",)
    for name in names:
        argument = config.arguments.get(name)
        if argument is None or argument.value.literal in {"False", "None"}:
            config.exact(name, "nothing to do")
            continue
        note = MANUAL[facts["packing"] == "constant_length"]
        config.decide(name, Fidelity.MANUAL, "MM214", "", note)
        text = f"`{argument.found.source_text}`: {note}"
        config.ledger.mark(config.place, "MM214", text)
    config.exact("packing_strategy", "nothing to do", "only used with packing")
    if config.text("padding_free") == "True" and not facts["masks_first_tokens"]:
        config.decide("padding_free", Fidelity.APPROXIMATE, "MM214", "nothing", FIRST_TOKENS)
        found = config.arguments["padding_free"].found
        config.ledger.differ(found, "MM214", FIRST_TOKENS, config.place)
    config.exact("padding_free", "nothing to do", "there is no padding")


def _strategy(config: ConfigPlan, facts: Facts) -> str:
    if facts["packing"] == "wrapped":
        return "wrapped"
    name = str(config.literal("packing_strategy"))
    if name not in STRATEGIES:
        note = f"packing by `{name}` is not converted"
        raise Blocked("MM214", note, config.arguments["packing_strategy"].found)
    return STRATEGIES[name]


def _is_shuffled(config: ConfigPlan) -> bool:
    return config.has("shuffle_dataset") and bool(config.literal("shuffle_dataset"))


def _decide(plan: TrainerPlan, how: str, facts: Facts) -> None:
    config = plan.config
    target = f"{plan.names['pack_rows']}()"
    if how != "wrapped" and not facts["masks_first_tokens"]:
        config.decide("packing", Fidelity.APPROXIMATE, "MM214", target, FIRST_TOKENS)
        config.ledger.differ(config.arguments["packing"].found, "MM214", FIRST_TOKENS, config.place)
    for name in ("packing", "packing_strategy", "eval_packing"):
        config.exact(name, target)
    config.exact("padding_free", "nothing to do", "packed rows have no padding")
    processes = config.arguments.get("dataset_num_proc")
    if processes is not None and processes.value.literal not in {"None", "1"}:
        note = "each process packed its own part of the rows; the result packs all of them in order"
        config.ledger.decisions.pop(processes.found, None)
        config.decide("dataset_num_proc", Fidelity.APPROXIMATE, "MM214", target, note)
        config.ledger.differ(processes.found, "MM214", note, config.place)

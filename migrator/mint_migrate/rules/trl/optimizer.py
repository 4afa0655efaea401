"""Rule: `optim` must be an AdamW, which is the one optimizer MinT has.

Names: transformers v5.23.0, `OptimizerNames` in `training_args.py`.
"""

from __future__ import annotations

import ast

from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.trl.config import ConfigPlan

NAME = "optim"
ENUMERATION = "OptimizerNames"
ADAMW = frozenset(
    {
        "adamw_hf",
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_torch_xla",
        "adamw_torch_npu_fused",
        "adamw_apex_fused",
        "paged_adamw_32bit",
    }
)
ROUNDED = frozenset(
    {
        "adamw_torch_4bit",
        "adamw_torch_8bit",
        "adamw_bnb_8bit",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw",
    }
)
"""The same update with states of fewer bits."""


def plan_optimizer(config: ConfigPlan) -> None:
    """Decide `optim`: kept, kept up to rounding, or for a person."""
    argument = config.arguments.get(NAME)
    if argument is None:
        return
    name = _name(argument.value.text, argument.value.literal)
    if name in ADAMW:
        config.exact(NAME, "AdamParams")
    elif name in ROUNDED:
        note = f"`{name}` keeps its states in fewer bits; MinT's AdamW does not"
        config.decide(NAME, Fidelity.APPROXIMATE, "MM213", "AdamParams", note)
        config.ledger.differ(argument.found, "MM213", note, config.place)
    elif name is None:
        note = "the optimizer is only known at run time; MinT's is AdamW"
        config.decide(NAME, Fidelity.APPROXIMATE, "MM213", "AdamParams", note)
        config.ledger.differ(argument.found, "MM213", note, config.place)
    else:
        note = f"`{name}` does not exist on MinT, whose optimizer is AdamW"
        config.ledger.manual(argument.found, "MM213", note, config.row(NAME))
        config.ledger.mark(config.place, "MM213", note)


def _name(text: str, literal: str | None) -> str | None:
    """Return the optimizer's name; None where it is an expression."""
    if literal is not None:
        return str(ast.literal_eval(literal))
    owner, _, member = text.removesuffix(".value").rpartition(".")
    return member.lower() if owner.endswith(ENUMERATION) else None

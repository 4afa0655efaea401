"""Names for what we add, chosen so that none of the user's is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mint_migrate.model.facts import Facts
from mint_migrate.model.script import Names

CANDIDATES: dict[str, tuple[str, ...]] = {
    "tokenize": ("tokenize_row", "tokenize_example", "tokens_of_row"),
    "build_batch": ("build_batch", "build_datums", "build_mint_batch"),
    "learning_rate": ("learning_rate_at", "scheduled_learning_rate", "mint_learning_rate"),
    "evaluate": ("evaluate", "evaluate_loss", "evaluate_on_mint"),
    "save_checkpoint": ("save_checkpoint", "save_training_state", "save_mint_checkpoint"),
    "find_checkpoint": ("find_checkpoint", "find_training_state", "find_mint_checkpoint"),
    "train": ("train", "run_training", "train_on_mint"),
    "checkpoint": ("checkpoint", "saved", "mint_checkpoint"),
    "started": ("started", "training_started", "mint_training_started"),
    "summary": ("training_summary", "summary_of_training", "mint_training_summary"),
    "rows": ("eval_rows", "held_out_rows", "mint_eval_rows"),
    "sampled_model": ("SampledModel", "ClientModel"),
    "client": ("training_client", "mint_client", "mint_training_client"),
}
"""What every kind of training adds. A kind has further roles of its own."""


def allocate_names(
    facts: Facts, roles: Mapping[str, tuple[str, ...]], short: str, taken: Iterable[str] = ()
) -> Names:
    """Return the first free candidate for each name.

    Every name bound anywhere in the module counts as taken: a local variable called `train` would
    hide our function where it is called.

    Args:
        facts: the module.
        roles: candidates of the kind's own roles; a role of `CANDIDATES` tries them first.
        short: the kind's short name, such as `dpo`, which tells the functions of several trainings
            apart.
        taken: names that other trainings of the module have been given.
    """
    others = set(taken)
    used = {name for scope in facts.scopes for name in scope.names} | others
    used |= {name for statement in facts.statements for name in statement.loads}
    chosen = {}
    for role in (*CANDIDATES, *(role for role in roles if role not in CANDIDATES)):
        candidates = (*roles.get(role, ()), *CANDIDATES.get(role, ()))
        if role == "train" or candidates[0] in others:
            candidates = (candidates[0], f"{candidates[0]}_{short}", *candidates[1:])
        free = [name for name in candidates if name not in used]
        chosen[role] = free[0] if free else _numbered(candidates[0], used)
        used.add(chosen[role])
    return chosen


def _numbered(base: str, taken: set[str]) -> str:
    number = 2
    while f"{base}_{number}" in taken:
        number += 1
    return f"{base}_{number}"

"""Rule: a reference that follows the policy (`sync_ref_model`) is a snapshot, taken anew.

TRL mixes weights: share * policy + (1 - share) * reference, after every so many steps. With the
share 1 that is a copy of the policy. Source: TRL v1.16.0, `trainer/callbacks.py`,
`SyncRefModelCallback`.
"""

from __future__ import annotations

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan

FIELDS = frozenset({"sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"})
CODE = "MM249"
TARGET = "save_weights_and_get_sampling_client()"


def plan_moving(plan: TrainerPlan, *, has_reference: bool) -> str:
    """Decide the options; return the expression of the steps between snapshots, "" without any.

    Args:
        plan: the trainer.
        has_reference: the loss reads a reference at all.

    Raises:
        Blocked: the weights are mixed, or options are only known when the script runs.
    """
    config = plan.config
    if not config.has("sync_ref_model") or not config.literal("sync_ref_model"):
        return _stays(config, "the reference stays as it is")
    if not has_reference:
        return _stays(config, "the loss reads no reference")
    ignores = plan.ledger.tables.facts(plan.ledger.version).get(f"{plan.kind.short}_ignores_sync")
    if plan.model.is_lora and ignores is not None and ignores.value:
        return _stays(config, "this release moves nothing where there is an adapter")
    share = config.literal("ref_model_mixup_alpha")
    if share != 1:
        argument = config.arguments.get("ref_model_mixup_alpha")
        raise Blocked(
            CODE,
            f"`sync_ref_model=True` mixes weights: {share} of the policy's and the rest of the "
            "reference's. MinT's `interpolate_checkpoints` mixes checkpoints, but it is not "
            "published whether updates or their factors; `ref_model_mixup_alpha=1.0` makes the "
            "reference a snapshot of the policy, which is converted",
            (argument or config.arguments["sync_ref_model"]).found,
        )
    if config.has("ref_model_sync_steps"):
        config.keep("ref_model_sync_steps")
    config.need("ref_model_sync_steps")
    note = "a snapshot of the policy becomes the reference"
    for name in ("sync_ref_model", "ref_model_mixup_alpha"):
        config.exact(name, TARGET, note)
    return "config.ref_model_sync_steps"


def _stays(config: ConfigPlan, note: str) -> str:
    for name in sorted(FIELDS):
        config.exact(name, "nothing to do", note)
    # Where options are only known when the script runs, those of no effect may have any value.
    config.decided -= FIELDS - {"sync_ref_model"}
    return ""

"""Rule: the checkpoint with the best evaluation is loaded at the end, and early stopping is kept.

The Trainer notes the best metric after each evaluation, keeps the checkpoint that is saved at the
same step, and loads it when training is over. Only `eval_loss` is computed on MinT, so only that
can be the metric. Source: transformers v5.23.0, `trainer.py` and `trainer_callback.py`.
"""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.model.plan import Fidelity
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.state import TrainerPlan

OPTIONS = frozenset({"load_best_model_at_end", "metric_for_best_model", "greater_is_better"})
"""Options that `plan_best` decides where the loop evaluates."""
EARLY = "transformers.EarlyStoppingCallback"
SHOWN = frozenset({"steps", "epoch"})
"""Strategies that the script itself chooses."""
KEEPS = "checkpoints of the server are not deleted, so that the best one stays"


def evaluates_loss(config: ConfigPlan) -> bool:
    """Say whether the script shows that the lowest `eval_loss` is what counts as best."""
    if not config.decided >= OPTIONS:
        return False
    metric = config.text("metric_for_best_model")
    greater = config.text("greater_is_better")
    is_loss = metric is None or metric.strip("'\"") in {"None", "loss", "eval_loss"}
    return is_loss and greater in {None, "None", "False"}


def plan_best(plan: TrainerPlan, script: LoopScript) -> LoopScript:
    """Decide the options of the best checkpoint; return the script with what they ask for."""
    config = plan.config
    if not config.decided >= OPTIONS:
        return script
    wanted = config.text("load_best_model_at_end")
    can = (
        evaluates_loss(config) and script.evaluation in SHOWN and wanted in {"True", "False", None}
    )
    loads = wanted == "True" and can and script.saving in SHOWN
    if not can or (wanted == "True" and not loads):
        _by_rows(config)
        return script
    for name in sorted(OPTIONS):
        config.exact(name, "train()" if loads or script.stops_early else "nothing to do")
    if script.stops_early:
        # The callback of transformers looks at them.
        config.put("load_best_model_at_end", str(loads))
        config.put("metric_for_best_model", '"eval_loss"')
        config.put("greater_is_better", "False")
        config.put("eval_strategy", f'"{script.evaluation}"')
    if loads and script.save_total_limit:
        found = config.arguments["save_total_limit"].found
        config.ledger.decisions.pop(found, None)
        config.fields.pop("save_total_limit", None)
        config.decide("save_total_limit", Fidelity.APPROXIMATE, "MM219", "save_checkpoint()", KEEPS)
        config.ledger.differ(found, "MM219", KEEPS, config.place)
        script = replace(script, save_total_limit=False)
    return replace(script, loads_best=loads)


def _by_rows(config: ConfigPlan) -> None:
    for name in sorted(OPTIONS):
        argument = config.arguments.get(name)
        if argument is None:
            continue
        if config.ledger.by_row(argument, config.row(name)) is Fidelity.MANUAL:
            decision = config.ledger.decisions[argument.found]
            text = f"`{argument.found.source_text}`: {decision.note}"
            config.ledger.mark(config.place, decision.code or "MM219", text)

"""Rule: the options of PPO before 0.12, where the trainer is driven step by step."""

from __future__ import annotations

from typing import TypedDict

from mint_migrate.model.facts import Argument
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.ppo.critic import CRITIC_OPTIONS
from mint_migrate.rules.trl.state import BuiltTrainer

READ = (
    "learning_rate",
    "batch_size",
    "mini_batch_size",
    "ppo_epochs",
    "init_kl_coef",
    "gamma",
    "lam",
    "cliprange",
    "ratio_threshold",
    "seed",
)
"""Options that the step always reads; a default is written out."""

PENALTIES = {
    "kl": "row - base",
    "abs": "(row - base).abs()",
    "mse": "0.5 * (row - base).square()",
}


class StepSettings(TypedDict):
    """The fields of `PpoStepsScript` that the configuration decides."""

    drops_columns: bool
    kl: str
    adapts_kl: bool
    whitens_rewards: bool
    scales_scores: bool
    centers_scores: bool
    clips_scores: bool
    accumulates: bool
    stops_early: bool
    max_grad_norm: str
    tracker: str
    tracker_starts: bool
    tracker_project: str


def plan_step_config(plan: BuiltTrainer) -> StepSettings:
    """Decide every option of the configuration.

    Raises:
        Blocked: an option that shapes the step is not a literal, or has no conversion.
    """
    config = plan.config
    _rename(config)
    for name in READ:
        if config.has(name):
            config.keep(name)
        else:
            config.need(name)
    adapts = _choice(config, "adap_kl_ctrl")
    stops = _choice(config, "early_stopping")
    scales = _choice(config, "use_score_scaling")
    if adapts:
        _read(config, "target", "horizon")
    if stops:
        _read(config, "target_kl")
    accumulates = config.is_dynamic("gradient_accumulation_steps") or (
        config.literal("gradient_accumulation_steps") not in {None, 1}
    )
    if accumulates:
        _accumulation(config)
    config.need("output_dir", '"ppo_output"')
    settings = StepSettings(
        drops_columns=_choice(config, "remove_unused_columns"),
        kl=_penalty(config),
        adapts_kl=adapts,
        whitens_rewards=_choice(config, "whiten_rewards"),
        scales_scores=scales,
        centers_scores=_choice(config, "use_score_norm") and scales,
        clips_scores=_limit(config, "score_clip"),
        accumulates=accumulates,
        stops_early=stops,
        max_grad_norm="config.max_grad_norm" if _clips(config) else "0.0",
        **_tracker(plan),
    )
    _rest(plan)
    return settings


def _rename(config: ConfigPlan) -> None:
    """`forward_batch_size` wins over `mini_batch_size`, whose older name it is."""
    old = config.arguments.get("forward_batch_size")
    if old is None or old.value.literal == "None":
        return
    config.put("mini_batch_size", old.value.text, like="forward_batch_size")
    config.exact("forward_batch_size", "config.mini_batch_size")
    config.exact("mini_batch_size", "nothing to do", "`forward_batch_size` overrides it")
    config.arguments.pop("mini_batch_size", None)


def _read(config: ConfigPlan, *names: str) -> None:
    for name in names:
        if config.has(name):
            config.keep(name)
        else:
            config.need(name)


def _choice(config: ConfigPlan, name: str) -> bool:
    value = bool(config.literal(name))
    config.exact(name, "step()")
    return value


def _limit(config: ConfigPlan, name: str) -> bool:
    """Carry a limit that may be None; return whether there is one."""
    argument = config.arguments.get(name)
    if argument is None or argument.value.literal == "None":
        config.exact(name, "nothing to do", "no limit")
        return False
    config.keep(name)
    return True


def _clips(config: ConfigPlan) -> bool:
    argument = config.arguments.get("max_grad_norm")
    if argument is None or argument.value.literal == "None":
        config.exact("max_grad_norm", "nothing to do", "no limit")
        return False
    config.put("max_grad_norm", argument.value.text)
    note = "every update is clipped; the original clipped only its first one"
    config.decide("max_grad_norm", Fidelity.APPROXIMATE, "MM213", "config.max_grad_norm", note)
    config.ledger.differ(argument.found, "MM213", note)
    return True


def _accumulation(config: ConfigPlan) -> None:
    name = "gradient_accumulation_steps"
    config.put(name, config.text(name) or "1")
    note = (
        "the original made a step of every mini-batch in the last batch of an epoch; here all "
        "batches accumulate alike"
    )
    config.decide(name, Fidelity.APPROXIMATE, "MM235", "config.gradient_accumulation_steps", note)
    if config.has(name):
        config.ledger.differ(config.arguments[name].found, "MM235", note)


def _penalty(config: ConfigPlan) -> str:
    kind = str(config.literal("kl_penalty") or "kl")
    if kind not in PENALTIES:
        argument = config.arguments.get("kl_penalty")
        raise Blocked(
            "MM243",
            f"`kl_penalty={kind!r}` compares all probabilities of a token; MinT returns that of "
            'the token itself: use "kl", "abs" or "mse"',
            argument.found if argument is not None else None,
        )
    config.exact("kl_penalty", "step()")
    return PENALTIES[kind]


class _Tracker(TypedDict):
    tracker: str
    tracker_starts: bool
    tracker_project: str


def _tracker(plan: BuiltTrainer) -> _Tracker:
    config = plan.config
    chosen = config.literal("log_with")
    config.exact("log_with", f"{chosen}" if chosen else "nothing to do")
    project = config.text("tracker_project_name") or '"trl"'
    config.exact("tracker_project_name", "wandb.init(project=...)")
    starts = "wandb.init(" not in plan.ledger.facts.text
    return _Tracker(tracker=str(chosen or ""), tracker_starts=starts, tracker_project=project)


def _rest(plan: BuiltTrainer) -> None:
    """Decide what is left by its row; keep what the user's own code reads."""
    config, ledger = plan.config, plan.ledger
    for name, argument in config.arguments.items():
        is_read = name in plan.read_elsewhere or _names_model(plan, name)
        if is_read and name not in config.fields:
            config.put(name, argument.value.text)
        if argument.found in ledger.decisions or name in CRITIC_OPTIONS:
            continue
        if is_read:
            ledger.exact(argument.found, config.row(name), f"config.{name}", "read by the script")
        elif ledger.by_row(argument, config.row(name)) is Fidelity.MANUAL:
            _todo(config, argument)
    if "total_ppo_epochs" in plan.read_elsewhere:
        steps, size = _number(config, "steps"), _number(config, "batch_size")
        config.put("total_ppo_epochs", str(-(-steps // size)))


def _names_model(plan: BuiltTrainer, name: str) -> bool:
    variable = plan.config_variable
    return variable is not None and f"{variable}.{name}" in plan.model.base_model


def _number(config: ConfigPlan, name: str) -> int:
    value = config.literal(name)
    assert isinstance(value, int)
    return value


def _todo(config: ConfigPlan, argument: Argument) -> None:
    decision = config.ledger.decisions[argument.found]
    note = f"`{argument.found.source_text}`: {decision.note}"
    config.ledger.mark(config.place, decision.code or "MM290", note)

"""Rule: which loss a configuration of GRPO asks for, and what computes it.

A loss of the server is chosen where it is equal. With one update for each round the ratio is 1:
then "importance_sampling" has value and gradient of every clipped loss. Formulas: TRL v1.16.0,
`grpo_trainer.py`, `_compute_loss`.
"""

from __future__ import annotations

from mint_migrate.model.grpo_script import PolicyLoss
from mint_migrate.model.rollouts_script import RoundsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import JOINED, ConfigPlan, factor

Facts = dict[str, str | bool | int | None]

CLIPPED = frozenset({"grpo", "bnpo", "dr_grpo", "dapo", "luspo"})
"""Losses with a ratio between two bounds."""
DIVISORS = {
    "gmpo": "own",
    "grpo": "own",
    "sapo": "own",
    "bnpo": "micro_batch",
    "dr_grpo": "longest",
    "luspo": "completions",
}
"""By `loss_type`, what a token is divided by; the others by the tokens of a step."""
CURVES = {
    "sapo": ("sapo_temperature_pos", "sapo_temperature_neg"),
    "vespo": ("vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"),
}
"""Fields that only one loss reads."""
LOSS_FIELDS = frozenset(
    {
        "loss_type",
        "beta",
        "epsilon",
        "epsilon_high",
        "delta",
        "importance_sampling_level",
        "off_policy_mask_threshold",
        "use_bias_correction_kl",
        "mask_truncated_completions",
        "scale_rewards",
        "multi_objective_aggregation",
        *(name for names in CURVES.values() for name in names),
    }
)
"""Fields decided here."""


GEOMETRIC = "trl.GMPOConfig"
"""Configuration of the trainer whose loss is that of GMPO, whatever `loss_type` says."""
UNREAD_BY_GEOMETRIC = frozenset(
    {
        "loss_type",
        "importance_sampling_level",
        "delta",
        "off_policy_mask_threshold",
        "use_bias_correction_kl",
        *("entropy_coef", "entropy_coef_delta", "entropy_coef_max", "entropy_coef_min"),
        *("entropy_target", "use_adaptive_entropy"),
        *(name for names in CURVES.values() for name in names),
    }
)
"""Options that only the loss it replaces looks at."""

IMPOSSIBLE = {
    "top_entropy_quantile": (
        "MM244",
        "chooses tokens by their entropy, which MinT does not return",
    ),
    "entropy_coef": ("MM244", "rewards entropy, which MinT does not return"),
    "use_adaptive_entropy": ("MM244", "steers by entropy, which MinT does not return"),
}
"""Options without which it is another loss, with code and reason."""


def check_possible(config: ConfigPlan) -> None:
    """Refuse what cannot be computed from the log-probabilities of the sampled tokens.

    Raises:
        Blocked: the configuration asks for it.
    """
    for name, (code, reason) in IMPOSSIBLE.items():
        argument, row = config.arguments.get(name), config.row(name)
        if argument is None or row is None or argument.value.literal in row.neutral:
            continue
        if config.owner == GEOMETRIC and name in UNREAD_BY_GEOMETRIC:
            continue
        raise Blocked(code, f"`{name}={argument.value.text}` {reason}", argument.found)


def loss_kind(config: ConfigPlan, facts: Facts) -> str:
    """Return the `loss_type`, or what the trainer or the release has instead."""
    name = "loss_type"
    if config.owner == GEOMETRIC:
        for option in sorted(UNREAD_BY_GEOMETRIC):
            config.exact(option, "nothing to do", "this trainer does not read it")
        return "gmpo"
    if facts["grpo_loss"] != "option":
        return str(facts["grpo_loss"])
    kind = str(config.literal(name))
    if kind not in CLIPPED | {"cispo", "sapo", "vespo"}:
        argument = config.arguments.get(name)
        raise Blocked(
            "MM221",
            f"`loss_type={kind!r}` is not one of grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo, "
            "vespo",
            argument.found if argument is not None else None,
        )
    config.exact(name, "the loss")
    return kind


def averages_micro_batches(config: ConfigPlan, kind: str) -> bool:
    """Say whether the mean over a micro-batch is another one than that over a step."""
    name = JOINED[1]
    accumulation = None if config.is_dynamic(name) else config.literal(name)
    return kind == "bnpo" and (
        accumulation not in {None, 1} or config.is_dynamic(name) or _processes(config) != 1
    )


def _processes(config: ConfigPlan) -> int:
    return config.ledger.options.num_processes


def plan_loss(config: ConfigPlan, facts: Facts, kind: str, rounds: RoundsScript) -> PolicyLoss:
    """Decide the loss.

    Raises:
        Blocked: it cannot be computed from log-probabilities, or is only known at run time.
    """
    if kind == "gmpo":
        return _geometric(config, rounds)
    level = str(config.literal("importance_sampling_level") or "token")
    config.exact("importance_sampling_level", "the loss")
    beta = _beta(config)
    corrects = _corrects(config, bool(beta))
    stale = _optional(config, "off_policy_mask_threshold")
    highest = _optional(config, "delta") if kind in CLIPPED else ""
    config.exact("delta", "the loss", "only the clipped losses read it")
    bounds = _bounds(config, kind, rounds.reused)
    _curves(config, kind)
    custom = bool(beta or (stale and rounds.reused))
    builtin = _builtin(kind, level, rounds, custom=custom, highest=highest)
    if kind == "luspo" and facts["grpo_luspo"] == "padded" and (level == "token" or beta):
        raise Blocked(
            "MM221",
            "`luspo` in this release averages over padding as well, which depends on how long the "
            'other completions are; set `importance_sampling_level="sequence"` and `beta=0`',
        )
    return PolicyLoss(
        kind=kind,
        builtin=builtin,
        level=level,
        bounds=bounds,
        highest=highest if rounds.reused else "",
        beta=beta,
        corrects_divergence=corrects,
        stale_limit=stale if rounds.reused else "",
        divisor=_divisor(config, facts, kind),
    )


def _geometric(config: ConfigPlan, rounds: RoundsScript) -> PolicyLoss:
    """Decide the loss of GMPO, a mean over completions.

    With one update a round every ratio is 1, and the loss is that of GRPO's `loss_type="grpo"`. A
    completion that is masked as a whole still counts in its value, unlike in the server's loss.
    """
    beta = _beta(config)
    low, high = _bounds(config, "gmpo", rounds.reused)
    masks = "mask_truncated_completions"
    is_plain = not (beta or rounds.reused or (config.has(masks) and config.literal(masks)))
    return PolicyLoss(
        kind="gmpo",
        builtin="importance_sampling" if is_plain else "",
        level="sequence",
        bounds=(low, high),
        beta=beta,
        divisor=DIVISORS["gmpo"],
    )


def _builtin(kind: str, level: str, rounds: RoundsScript, *, custom: bool, highest: str) -> str:
    """Return the loss of the server that is equal, or "" where there is none."""
    if custom or kind in CURVES:
        return ""
    if kind == "cispo":
        return "cispo" if level == "token" or not rounds.reused else ""
    if not rounds.reused:
        return "importance_sampling"
    return "ppo" if level == "token" and not highest else ""


def _beta(config: ConfigPlan) -> str:
    name = "beta"
    if not config.has(name):
        default = config.default(name)
        if default in {None, "0", "0.0"}:
            return ""
        config.need(name)
        return f"config.{name}"
    if not config.is_dynamic(name) and not config.literal(name):
        config.exact(name, "nothing to do", "no divergence from a reference")
        return ""
    config.keep(name)
    return f"config.{name}"


def _corrects(config: ConfigPlan, has_beta: bool) -> bool:
    name = "use_bias_correction_kl"
    if config.row(name) is None:
        return False
    value = bool(config.literal(name)) if has_beta or not config.is_dynamic(name) else False
    config.exact(name, "the loss" if has_beta else "nothing to do: beta is 0")
    return value and has_beta


def _optional(config: ConfigPlan, name: str) -> str:
    """Return how the loss reads a field that None switches off."""
    if not config.has(name):
        return ""
    if config.text(name) == "None":
        config.exact(name, "nothing to do")
        return ""
    config.keep(name)
    return f"config.{name}"


def _bounds(config: ConfigPlan, kind: str, clips: bool) -> tuple[str, str]:
    """Return lowest and highest ratio as expressions; `cispo` takes its bound as it is."""
    if kind in CURVES or (kind != "cispo" and not clips):
        for name in ("epsilon", "epsilon_high"):
            config.exact(name, "nothing to do", "the ratio is 1, or the loss has no bounds")
        return "", ""
    high = _optional(config, "epsilon_high")
    if kind != "cispo" or not high:
        if config.has("epsilon"):
            config.keep("epsilon")
        config.need("epsilon")
    config.exact("epsilon", "the loss")
    low = config.ref("epsilon") if config.row("epsilon") is not None else "0.2"
    high = high or low
    if kind == "cispo":
        return "0.0", high
    if kind == "gmpo":
        return f"-{factor(low)}", high
    return f"1.0 - {factor(low)}", f"1.0 + {factor(high)}"


def _curves(config: ConfigPlan, kind: str) -> None:
    for owner, names in CURVES.items():
        for name in names:
            if owner == kind and config.has(name):
                config.keep(name)
            elif owner == kind:
                config.need(name)
            else:
                config.exact(name, "nothing to do", f"only `{owner}` reads it")


def _divisor(config: ConfigPlan, facts: Facts, kind: str) -> str:
    if kind == "bnpo" and not averages_micro_batches(config, kind):
        return "step"
    if kind in DIVISORS:
        return DIVISORS[kind]
    return "round" if facts["grpo_window"] == "round" else "tokens"


def plan_scale(config: ConfigPlan) -> str:
    """Return by which standard deviation advantages are divided: group, batch or none."""
    name = "scale_rewards"
    if config.row(name) is None:
        return "group"
    value = config.literal(name)
    chosen = {True: "group", False: "none", None: "none"}.get(value, str(value))  # type: ignore[call-overload]
    if chosen not in {"group", "batch", "none"}:
        raise Blocked(
            "MM221", f"`{name}={value!r}` is not group, batch or none", config.arguments[name].found
        )
    config.exact(name, "group_advantages()")
    return str(chosen)

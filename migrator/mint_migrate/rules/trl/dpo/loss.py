"""Rule: `loss_type` and what goes with it become `preference_loss(...)`.

Formulas: `DPOTrainer._compute_loss` of trl v1.16.0, `dpo_loss` of trl v0.28.0 and before.
"""

from __future__ import annotations

from mint_migrate.model.dpo_script import LossScript, PairLoss
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan, factor
from mint_migrate.rules.trl.dpo.options import is_given, literal, need
from mint_migrate.rules.trl.state import TrainerPlan

Facts = dict[str, str | bool | int | None]

LOSSES = frozenset(
    {
        "sigmoid",
        "hinge",
        "ipo",
        "exo_pair",
        "nca_pair",
        "robust",
        "bco_pair",
        "sppo_hard",
        "aot",
        "aot_unpaired",
        "apo_zero",
        "apo_down",
        "discopop",
        "sft",
        "sigmoid_norm",
        "kto_pair",
    }
)
OLDER_NAMES = {"aot_pair": "aot_unpaired"}
SMOOTHED = frozenset({"robust", "exo_pair", "aot", "aot_unpaired"})
"""Losses that look at `label_smoothing` in every release."""
OF_DIFFERENCE = frozenset(
    {"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"}
)
"""Losses of the difference of two scores, which another divergence gives other scores."""
WITHOUT_REFERENCE = frozenset({"sigmoid", "robust", "exo_pair", "hinge", "ipo"})
"""Losses that `reference_free` changes."""
OF_LENGTHS = frozenset({"ipo", "sft", "sigmoid_norm"})


def plan_loss(plan: TrainerPlan, facts: Facts) -> LossScript:
    """Decide the loss.

    Raises:
        Blocked: it is not a function of the log-probabilities of tokens, or not known.
    """
    config = plan.config
    _refuse_weighting(config)
    names = _names(plan)
    need(plan, "beta")
    averages = "ipo" in names and facts["dpo_ipo_lengths"] == "log_probabilities"
    divergence, alpha = _divergence(plan, names, facts)
    nll, scales = _likelihood(plan, facts)
    result = LossScript(
        terms=_weighted(plan, names, facts),
        smoothing=_smoothing(plan, names, facts),
        divergence=divergence,
        alpha=alpha,
        averages=averages,
        running_mean="bco_pair" in names and facts["dpo_bco_shift"] == "running_mean",
        nll_weight=nll,
        nll_scales=scales,
        nll_skips_zero=bool(facts["dpo_likelihood_skips_zero"]),
        shifts_scores=facts["dpo_divergence"] != "of_scores_without_constants",
        is_free=_is_free(plan, names, facts),
        discounts=_discount(plan, names, facts),
    )
    if "discopop" in names:
        need(plan, "discopop_tau")
    else:
        config.exact("discopop_tau", "nothing to do", "no `discopop` loss is chosen")
    if result.running_mean:
        config.put(
            "reward_means", "[]", trailing="# bco_pair compares rewards with their mean so far"
        )
    return result


def _refuse_weighting(config: ConfigPlan) -> None:
    if config.has("use_weighting") and config.literal("use_weighting"):
        raise Blocked(
            "MM243",
            "`use_weighting=True` weighs pairs by the probabilities of the whole vocabulary, which "
            "MinT does not return",
            config.arguments["use_weighting"].found,
        )
    config.exact("use_weighting", "nothing to do")


def _names(plan: TrainerPlan) -> tuple[str, ...]:
    value = literal(plan, "loss_type")
    argument = plan.config.arguments.get("loss_type")
    listed = list(value) if isinstance(value, list | tuple) else [value or "sigmoid"]
    names = tuple(OLDER_NAMES.get(str(name), str(name)) for name in listed)
    for name in names:
        if name not in LOSSES:
            raise Blocked(
                "MM221",
                f"the loss `{name}` is not one of {', '.join(sorted(LOSSES))}",
                argument.found if argument is not None else plan.trainer.found,
            )
    plan.config.exact("loss_type", f"{plan.names['loss']}()")
    return names


def _weighted(plan: TrainerPlan, names: tuple[str, ...], facts: Facts) -> tuple[PairLoss, ...]:
    config = plan.config
    if not is_given(plan, "loss_weights"):
        config.exact("loss_weights", f"{plan.names['loss']}()", "every loss counts once")
        return tuple(PairLoss(name=name) for name in names)
    weights = config.literal("loss_weights")
    argument = config.arguments["loss_weights"]
    if not isinstance(weights, list | tuple) or len(weights) != len(names):
        raise Blocked(
            "MM221",
            f"`loss_weights` has not one weight for each of {len(names)} losses",
            argument.found,
        )
    note = "" if facts["dpo_rewards"] == "plain" else "rewards are logged without the weights"
    config.exact("loss_weights", f"{plan.names['loss']}()", note)
    return tuple(
        PairLoss(name=name, weight="" if weight == 1 else repr(weight))
        for name, weight in zip(names, weights, strict=True)
    )


def _smoothing(plan: TrainerPlan, names: tuple[str, ...], facts: Facts) -> str:
    config = plan.config
    used = SMOOTHED | ({"sigmoid"} if facts["dpo_sigmoid_smoothing"] else frozenset())
    if not used & set(names):
        config.exact("label_smoothing", "nothing to do", "the chosen loss does not look at it")
        return ""
    is_plain = not config.is_dynamic("label_smoothing") and not literal(plan, "label_smoothing")
    if is_plain and "exo_pair" in names:
        # Older releases replace 0 by this; later ones refuse it.
        config.put(
            "label_smoothing", "1e-3", trailing="# the original's choice for exo_pair where it is 0"
        )
        config.exact("label_smoothing", "config.label_smoothing")
        return "config.label_smoothing"
    if is_plain:
        config.exact("label_smoothing", f"{plan.names['loss']}()")
        return ""
    return need(plan, "label_smoothing")


def _divergence(plan: TrainerPlan, names: tuple[str, ...], facts: Facts) -> tuple[str, str]:
    """Return the divergence and, for alpha, the exponent of the ratio."""
    config, rule = plan.config, facts["dpo_divergence"]
    argument = config.arguments.get("f_divergence_type")
    if argument is not None and "." in argument.value.text and argument.value.literal is None:
        kind = argument.value.text.removesuffix(".value").rsplit(".", 1)[-1].lower()
    else:
        kind = str(literal(plan, "f_divergence_type") or "reverse_kl")
    config.exact("f_divergence_type", f"{plan.names['loss']}()")
    if kind != "alpha_divergence":
        config.exact("f_alpha_divergence_coef", "nothing to do", "no alpha divergence is chosen")
    known = {"reverse_kl", "js_divergence", "alpha_divergence"}
    known |= {"forward_kl"} if rule != "of_difference" else set()
    if kind == "reverse_kl":
        return kind, ""
    others = sorted(set(names) - OF_DIFFERENCE)
    if kind not in known or (others and rule != "of_difference"):
        raise Blocked(
            "MM221",
            f"the divergence `{kind}` does not go with the loss {', '.join(others) or names[0]}",
            argument.found if argument is not None else plan.trainer.found,
        )
    if kind != "alpha_divergence":
        return kind, ""
    alpha = need(plan, "f_alpha_divergence_coef")
    if not config.is_dynamic("f_alpha_divergence_coef"):
        value = literal(plan, "f_alpha_divergence_coef")
        if rule != "of_difference" and isinstance(value, int | float) and abs(value - 1) < 1e-6:
            return "reverse_kl", ""
    return kind, f"-{alpha}" if rule == "of_difference" else f"({alpha} - 1)"


def _likelihood(plan: TrainerPlan, facts: Facts) -> tuple[str, bool]:
    """Return the weight of `rpo_alpha`, and whether it is the weight of the preference loss."""
    config = plan.config
    if not is_given(plan, "rpo_alpha"):
        config.exact("rpo_alpha", "nothing to do")
        return "", False
    if facts["dpo_rpo"] == "of_pairs":
        raise Blocked(
            "MM221",
            "this release averaged the likelihood of `rpo_alpha` pair by pair, which is not "
            "converted",
            config.arguments["rpo_alpha"].found,
        )
    return need(plan, "rpo_alpha"), facts["dpo_rpo"] == "scales_preference"


def _is_free(plan: TrainerPlan, names: tuple[str, ...], facts: Facts) -> bool:
    config = plan.config
    if not config.has("reference_free"):
        return False
    is_free = bool(config.literal("reference_free")) and set(names) <= WITHOUT_REFERENCE
    note = "rewards are logged without the reference" if is_free else ""
    config.exact("reference_free", f"{plan.names['loss']}()", note)
    return is_free


def _discount(plan: TrainerPlan, names: tuple[str, ...], facts: Facts) -> bool:
    config = plan.config
    if not is_given(plan, "ld_alpha"):
        config.exact("ld_alpha", "nothing to do")
        return False
    argument = config.arguments["ld_alpha"]
    if OF_LENGTHS & set(names):
        raise Blocked(
            "MM221",
            "`ld_alpha` with a loss that looks at lengths is not converted",
            argument.found,
        )
    if facts["dpo_ld_positions"] == "of_sequence":
        note = (
            "this release counted positions from the start of the prompt and left the reference "
            "as it is; the result counts those of the answers, in both, as later releases do"
        )
        config.put("ld_alpha", factor(argument.value.text))
        config.decide("ld_alpha", Fidelity.APPROXIMATE, "MM221", "config.ld_alpha", note)
        config.ledger.differ(argument.found, "MM221", note, config.place)
    else:
        need(plan, "ld_alpha")
    return True

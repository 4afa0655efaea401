"""Rule: the options of Online DPO: how answers are drawn, compared and penalized."""

from __future__ import annotations

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan

FIELDS = frozenset(
    {
        "max_new_tokens",
        "max_length",
        "temperature",
        "top_p",
        "top_k",
        "generation_kwargs",
        "missing_eos_penalty",
        "beta",
        "loss_type",
        "reward_weights",
        "remove_unused_columns",
        "reward_model_path",
    }
)
"""Fields decided here."""


def plan_sampling(config: ConfigPlan) -> tuple[tuple[str, str], ...]:
    """Decide the arguments of `SamplingParams`.

    Raises:
        Blocked: answers would be drawn from another distribution.
    """
    for name in ("max_new_tokens", "max_length", "temperature"):
        if config.has(name):
            config.keep(name)
        config.need(name)
    options = [("max_tokens", "config.max_new_tokens"), ("temperature", "config.temperature")]
    if config.has("top_p") and config.text("top_p") not in {"1.0", "1", "None"}:
        config.put("top_p", config.text("top_p") or "")
        options.append(("top_p", "config.top_p"))
    config.exact("top_p", "SamplingParams(top_p=...)")
    default = config.default("top_k")
    given = config.text("top_k") if config.has("top_k") else default
    if given not in {None, "None", "0", "-1"}:
        config.put("top_k", given or "")
        if not config.has("top_k"):
            config.defaults.append("top_k")
        options.append(("top_k", "config.top_k"))
    config.exact("top_k", "SamplingParams(top_k=...)")
    if config.has("generation_kwargs") and config.text("generation_kwargs") not in {"None", "{}"}:
        raise Blocked(
            "MM247",
            "`generation_kwargs` reach the original's sampler; give temperature, top_p, top_k and "
            "max_new_tokens as options instead",
            config.arguments["generation_kwargs"].found,
        )
    config.exact("generation_kwargs", "nothing to do")
    if config.text("reward_model_path") not in {None, "None"}:
        raise Blocked(
            "MM250",
            "`reward_model_path` names a reward model; pass `reward_funcs` instead",
            config.arguments["reward_model_path"].found,
        )
    config.exact("reward_model_path", "nothing to do")
    return tuple(options)


def plan_loss_type(config: ConfigPlan) -> str:
    """Decide the loss.

    Raises:
        Blocked: it is neither of the two that the trainer had.
    """
    kind = str(config.literal("loss_type") or "sigmoid")
    if kind not in {"sigmoid", "ipo"}:
        raise Blocked("MM221", f"`loss_type={kind!r}` is neither sigmoid nor ipo")
    config.exact("loss_type", "preference_loss()")
    return kind


def plan_beta(config: ConfigPlan) -> str:
    """Return the strength of the preference: one number, or one for each epoch."""
    name = "beta"
    default = config.default(name)
    text = config.text(name) or (default if default and "[" not in default else "0.1")
    if text.startswith(("[", "(")):
        values = config.literal(name)
        strengths = list(values) if isinstance(values, list | tuple) else []
        if len(strengths) > 1:
            config.keep(name)
            return "config.beta[min(epoch, len(config.beta) - 1)]"
        if not strengths:
            raise Blocked("MM292", "`beta` is an empty list", config.arguments[name].found)
        text = repr(strengths[0])
    config.put(name, text)
    if not config.has(name):
        config.defaults.append(name)
    config.exact(name, "config.beta")
    return "config.beta"


def plan_penalty(config: ConfigPlan) -> bool:
    """Return whether answers without an end are penalized."""
    name = "missing_eos_penalty"
    if not config.has(name) or config.text(name) == "None":
        config.exact(name, "nothing to do")
        return False
    config.keep(name)
    return True

"""Rule: the options of sampling become `SamplingParams`, and prompts become tokens."""

from __future__ import annotations

from mint_migrate.model.rollouts_script import PromptScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.temperature import decide_temperature, uses_temperature_one

Facts = dict[str, str | bool | int | None]

SAMPLING_FIELDS = frozenset(
    {
        "max_completion_length",
        "max_prompt_length",
        "temperature",
        "top_p",
        "top_k",
        "chat_template_kwargs",
        "generation_kwargs",
    }
)
"""Fields of every configuration that samples, decided here."""


def plan_sampling(config: ConfigPlan, facts: Facts) -> tuple[tuple[str, str], ...]:
    """Decide the arguments of `SamplingParams`.

    Raises:
        Blocked: samples would be drawn from another distribution.
    """
    if config.has("max_completion_length"):
        if config.text("max_completion_length") == "None":
            raise Blocked(
                "MM292",
                "`max_completion_length=None` has no limit; give one",
                config.arguments["max_completion_length"].found,
            )
        config.put("max_completion_length", config.text("max_completion_length") or "")
        config.exact("max_completion_length", "SamplingParams(max_tokens=...)")
    config.need("max_completion_length")
    config.need("temperature", config.text("temperature"))
    if config.has("temperature") and "temperature" in config.defaults:
        config.defaults.remove("temperature")
    note = (
        "samples are drawn at this temperature, and the log-probabilities of the loss are those "
        "of temperature 1, where the original divided the logits by it"
    )
    is_exact = uses_temperature_one(config) or not facts["grpo_trains_at_temperature"]
    decide_temperature(config, note, is_exact=is_exact)
    options = [
        ("max_tokens", "config.max_completion_length"),
        ("temperature", "config.temperature"),
    ]
    if config.has("top_p") and config.text("top_p") not in {"1.0", "1", "None"}:
        config.put("top_p", config.text("top_p") or "")
        options.append(("top_p", "config.top_p"))
    config.exact("top_p", "SamplingParams(top_p=...)")
    options += _top_k(config, facts)
    _generation_kwargs(config)
    return tuple(options + _end_tokens(facts))


def _top_k(config: ConfigPlan, facts: Facts) -> list[tuple[str, str]]:
    """Return the argument, if there is one; what switches it off in TRL is -1 here."""
    name = "top_k"
    text = config.text(name)
    if text is None:
        default = config.default(name) or str(facts["grpo_top_k"])
        if default in {"None", "0"}:
            return []
        config.put(name, default)
        config.defaults.append(name)
        return [(name, "config.top_k")]
    config.exact(name, "SamplingParams(top_k=...)")
    if config.is_dynamic(name):
        config.put(name, text)
        return [(name, "config.top_k or -1")]
    if config.literal(name) in {None, 0, -1}:
        return []
    config.put(name, text)
    return [(name, "config.top_k")]


def _generation_kwargs(config: ConfigPlan) -> None:
    name = "generation_kwargs"
    if config.has(name) and config.text(name) not in {"None", "{}"}:
        raise Blocked(
            "MM247",
            "`generation_kwargs` reach the original's sampler; give temperature, top_p, top_k and "
            "max_completion_length as options instead",
            config.arguments[name].found,
        )
    config.exact(name, "nothing to do")


def _end_tokens(facts: Facts) -> list[tuple[str, str]]:
    """Return what ends a completion; unset, the server stops at all end tokens of the model."""
    return [("stop", "[tokenizer.eos_token_id]")] if facts["grpo_end_tokens"] == "tokenizer" else []


def plan_prompt(config: ConfigPlan, facts: Facts) -> PromptScript:
    """Decide how prompts are tokenized."""
    cut = ""
    if config.row("max_prompt_length") is not None:
        text = config.text("max_prompt_length")
        config.need("max_prompt_length", text)
        if text is not None and "max_prompt_length" in config.defaults:
            config.defaults.remove("max_prompt_length")
        if "max_prompt_length" in config.fields:
            cut = "[-config.max_prompt_length :]"
    config.exact("max_prompt_length", "tokenize_prompt()" if cut else "no truncation")
    options: tuple[str, ...] = ()
    name = "chat_template_kwargs"
    if config.has(name) and config.text(name) not in {"None", "{}"}:
        config.put(name, config.text(name) or "")
        options = (f"**config.{name}",)
    config.exact(name, "apply_chat_template(...)")
    has_special_tokens = facts["grpo_plain_prompt"] == "with_special_tokens"
    return PromptScript(
        plain_options="" if has_special_tokens else ", add_special_tokens=False",
        chat_options=options,
        continues=facts["grpo_started_answer"] == "continued",
        cut=cut,
    )

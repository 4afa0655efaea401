"""Rules: data sets of prompts, their text and their order.

Source: OpenRLHF `datasets/utils.py`, `datasets/prompts_dataset.py`, `utils/agent.py` (0.9.1,
0.11.2), `trainer/ppo_utils/experience_maker.py` (0.4.5 to 0.8.5) and `trainer/ppo_trainer.py`.
"""

from __future__ import annotations

from mint_migrate.model.openrlhf_script import PromptsScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import UNKNOWN, Settings
from mint_migrate.rules.openrlhf.options import at_least, fact, field_of, plan_probabilities, switch

FIRST_WITH_TOTAL_LENGTH = "0.9.10"
"""Since then prompt and response share one limit."""


def plan_prompts(settings: Settings) -> PromptsScript:
    """Decide the options of the prompts.

    Raises:
        Blocked: no data is named, or a loading script of the user's own.
    """
    if settings.value("prompt_data").data is None:
        raise Blocked("MM407", "`--prompt_data` is not given, so there is nothing to train on")
    check_scripts(settings, "prompt_data", "eval_dataset")
    settings.use("prompt_data", kind="str", comment="files, folders or names, separated by commas")
    field_of(settings, "prompt_split", '"train"', "str")
    field_of(settings, "input_key", '"input"', "str")
    has_label = settings.value("label_key").data is not None
    if has_label:
        settings.use("label_key", kind="str")
    chat = switch(settings, "apply_chat_template", "render_prompt")
    has_limit = settings.is_given("max_samples")
    if has_limit:
        settings.use("max_samples", kind="int", comment="rows")
    blends = plan_probabilities(settings, "prompt_data", "prompt_data_probs")
    has_template = plan_template(settings, chat=chat)
    _plan_order(settings)
    return PromptsScript(
        chat=chat,
        template=has_template,
        label=has_label,
        limits=has_limit,
        blends=blends,
        stops=str(fact(settings, "blend_stops")),
        cut="left" if fact(settings, "prompt_cut") == "start" else "right",
        longest=_plan_longest(settings),
        keeps_rest=bool(fact(settings, "last_rollout_is_trained")),
    )


def _plan_order(settings: Settings) -> None:
    """Decide the seed, which some releases do not give to the process that draws the prompts."""
    field_of(settings, "seed", "42", "int")
    if not fact(settings, "prompts_follow_the_seed"):
        settings.differ(
            "seed",
            "MM423",
            "prompts are drawn in a random order that follows `seed`; in this release the order "
            "follows no seed",
            "config.seed",
        )


def plan_template(settings: Settings, *, chat: bool) -> bool:
    """Say whether the text of a prompt is made with a template of the launcher's."""
    template = settings.value("input_template").data
    if template is None:
        settings.exact("input_template", "nothing")
        return False
    if chat:
        settings.exact("input_template", "nothing", "a chat template takes its place")
        return False
    if template is not UNKNOWN and "{}" not in str(template):
        settings.exact("input_template", "nothing", "without `{}` the original drops it")
        return False
    settings.use("input_template", kind="str")
    return True


def check_scripts(settings: Settings, *keys: str) -> None:
    """Stop at a data set that a script of the user's loads.

    Args:
        settings: the options of the launch.
        keys: options that name data sets.

    Raises:
        Blocked: there is one.
    """
    for key in keys:
        for name in str(settings.value(key).data or "").split(","):
            if name.partition("@")[0].strip().endswith(".py"):
                raise Blocked(
                    "MM407", f"`{name.strip()}` loads data with a script; write its rows to a file"
                )


def _plan_longest(settings: Settings) -> str:
    """Return the expression of the largest number of tokens of a prompt."""
    if not at_least(settings, FIRST_WITH_TOTAL_LENGTH):
        settings.exact("max_len", "nothing", "it is a limit of the sampling engine")
        return field_of(settings, "prompt_max_len", "1024", "int", comment="tokens")
    total = field_of(settings, "max_len", "2048", "int", comment="tokens, prompt and response")
    key = new_tokens_key(settings)
    if settings.value(key).data is None:
        return f"{total} - 1"
    return f"{total} - config.max_new_tokens"


def new_tokens_key(settings: Settings) -> str:
    """Return the name of the option for the length of a response."""
    if at_least(settings, FIRST_WITH_TOTAL_LENGTH):
        return settings.first("max_new_tokens", "rollout.max_new_tokens", "generate_max_len")
    return "generate_max_len"


def total_length(settings: Settings) -> str:
    """Return the expression of the largest number of tokens of prompt and response."""
    if at_least(settings, FIRST_WITH_TOTAL_LENGTH):
        return "config.max_len"
    return "config.prompt_max_len + config.generate_max_len"

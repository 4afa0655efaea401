"""Rules: how responses are sampled.

Source: OpenRLHF `trainer/ppo_utils/samples_generator.py`, `utils/agent.py` (0.11.2) and
`trainer/ppo_utils/experience_maker.py` (0.6.4, 0.9.1); `models/actor.py` for the temperature.
"""

from __future__ import annotations

from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import at_least, fact, field_of, is_positive
from mint_migrate.rules.openrlhf.prompts import FIRST_WITH_TOTAL_LENGTH, new_tokens_key


def plan_sampling(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return the sampling parameters besides the temperature, as (name, expression).

    Raises:
        Blocked: prompts have images.
    """
    field_of(settings, "n_samples_per_prompt", "1", "int")
    _plan_rollout(settings)
    pairs = [("max_tokens", _plan_length(settings))]
    temperature = settings.value("temperature")
    field_of(settings, "temperature", "1.0", "float")
    if temperature.data not in {1.0, None} and fact(settings, "logprobs_have_temperature"):
        settings.differ(
            "temperature",
            "MM246",
            "log-probabilities are compared at temperature 1; the original divides the logits by "
            f"{temperature.text} when it trains as well",
            "config.temperature",
        )
    if settings.value("top_p").data in {1.0, None}:
        settings.exact("top_p", "nothing", "has no effect with this value")
    else:
        pairs.append(("top_p", settings.use("top_p", kind="float")))
    _plan_asynchrony(settings)
    if is_positive(settings, "max_images_per_prompt") and settings.is_given(
        "max_images_per_prompt"
    ):
        raise Blocked("MM409", "prompts have images; the models here read text")
    return tuple(pairs)


def _plan_asynchrony(settings: Settings) -> None:
    """Say that responses are always the newest policy's."""
    for key in ("async_train", "partial_rollout"):
        if settings.value(key).data:
            settings.differ(
                key,
                "MM419",
                "responses are sampled from the newest weights; the original samples while it "
                "trains, from weights that are a step or more older",
                "sample_responses",
            )


def _plan_rollout(settings: Settings) -> None:
    """Decide how many prompts a rollout has."""
    comment = "prompts of a rollout"
    responses, repeats = (
        settings.value(key) for key in ("rollout_batch_size", "n_samples_per_prompt")
    )
    if fact(settings, "rollout_batch_unit") == "prompts" or repeats.data in {1, None}:
        field_of(settings, "rollout_batch_size", "1024", "int", comment=comment)
        return
    number = f"{responses.text} // {repeats.text}"
    settings.add_field("rollout_batch_size", number, "int", comment)
    settings.differ(
        "rollout_batch_size",
        "MM423",
        "this release counts responses, and those to one prompt need not be in one rollout; the "
        "result samples as many responses, each prompt's together",
        "config.rollout_batch_size",
    )


def _plan_length(settings: Settings) -> str:
    key = new_tokens_key(settings)
    if not at_least(settings, FIRST_WITH_TOTAL_LENGTH):
        return field_of(settings, key, "1024", "int", comment="tokens")
    if settings.value(key).data is None:
        return 'max(1, config.max_len - len(row["prompt_tokens"]))'
    return settings.use(key, "max_new_tokens", kind="int", comment="tokens of a response")

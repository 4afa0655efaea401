"""Rules: how responses are sampled."""

from __future__ import annotations

from mint_migrate.rules.launched.settings import Settings

ROLLOUT = "actor_rollout_ref.rollout"


def plan_sampling(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Return the sampling parameters of a rollout as (name, expression)."""
    pairs = [("max_tokens", settings.use("data.max_response_length", comment="tokens"))]
    settings.exact(f"{ROLLOUT}.response_length", "config.max_response_length")
    temperature = settings.value(f"{ROLLOUT}.temperature")
    pairs.append(("temperature", settings.use(f"{ROLLOUT}.temperature")))
    if temperature.data != 1.0:
        settings.differ(
            f"{ROLLOUT}.temperature",
            "MM257",
            f"log-probabilities are compared at temperature 1; the original divides the logits by "
            f"{temperature.text} when it trains as well",
            "config.temperature",
        )
    pairs += _unless(settings, "top_p", 1.0)
    pairs += _unless(settings, "top_k", -1)
    return tuple(pairs)


def _unless(settings: Settings, name: str, neutral: float) -> list[tuple[str, str]]:
    key = f"{ROLLOUT}.{name}"
    if settings.value(key).data in {neutral, None}:
        settings.exact(key, "nothing", "has no effect with this value")
        return []
    return [(name, settings.use(key))]

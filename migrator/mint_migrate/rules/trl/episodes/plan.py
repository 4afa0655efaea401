"""Rule: what PPO from 0.12 on and RLOO before 0.22 have in common besides their advantages."""

from __future__ import annotations

from typing import TypedDict

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.leftovers import KEPT
from mint_migrate.rules.trl.config import ConfigPlan, plan_plain_fields
from mint_migrate.rules.trl.episodes.sizes import SIZES, Sizes, plan_sizes
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import LoopFields, plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.pairs.reference import plan_reference
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.temperature import decide_temperature, uses_temperature_one
from mint_migrate.tables.versions import version_key

EVALUATION = ("eval_strategy", "evaluation_strategy", "eval_steps", "do_eval")
FIELDS = SIZES | {
    "response_length",
    "temperature",
    "kl_coef",
    "cliprange",
    "stop_token",
    "stop_token_id",
    "missing_eos_penalty",
    "non_eos_penalty",
    "penalty_reward_value",
    "truncate_token_id",
}
"""Fields of both that are decided here."""
ROLES = {
    "batches": ("prompt_batches", "batches_of_prompts"),
    "sample": ("sample_responses", "sampled_responses"),
    "score": ("score", "score_response"),
    "datum": ("build_datum", "datum_of"),
    "compute_logprobs": ("compute_logprobs", "logprobs_of_responses"),
    "advantages": ("compute_advantages", "advantages_of_responses"),
    "ratio_loss": ("ratio_loss", "clipped_ratio_loss"),
}
SYNONYMS = {"config": "args", "policy": "model", "ref_policy": "ref_model"}


def date_within(ledger: Ledger, last: str, what: str) -> None:
    """Read a script by the last release that had what it uses, where a later one is assumed."""
    if version_key(ledger.version) > version_key(last):
        ledger.notices.append(
            f"{what} is in no release after {last}; the script is read as one for TRL {last}, "
            f"not {ledger.version}"
        )
        ledger.version = last


class EpisodeFields(TypedDict):
    """The fields of `EpisodesScript` that do not depend on the algorithm."""

    rollout: str
    mini: str
    micro: bool
    counts_episodes: bool
    stop: str
    penalty: str
    reward: str
    reference: bool
    handed: tuple[tuple[str, str], ...]


UNSET = {"kl_coef": "0.05", "cliprange": "0.2"}
"""RLOO of TRL 0.22 to 0.24 leaves these None and takes the newer option, whose default is this."""


def plan_episodes(
    plan: TrainerPlan, suffix: str, *, multiplies: bool, averages_tokens: bool
) -> tuple[LoopFields, EpisodeFields]:
    """Decide everything but the advantages.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    config = plan.config
    _evaluation(config)
    sizes = plan_sizes(plan, multiplies=multiplies, averages_tokens=averages_tokens)
    config.exact("max_grad_norm", "nothing to do", "the original did not clip its gradients")
    config.arguments.pop("max_grad_norm", None)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    config.need("output_dir", plan.default_output(suffix))
    config.need("learning_rate")
    for name in ("response_length", "kl_coef", "cliprange", "temperature"):
        if config.has(name) and name != "temperature":
            config.keep(name)
        config.need(name, config.text(name))
        config.need(name, UNSET.get(name))
    if config.has("temperature") and "temperature" in config.defaults:
        config.defaults.remove("temperature")
    note = (
        "responses are drawn at this temperature, and the log-probabilities of penalty and loss "
        "are those of temperature 1, where the original divided the logits by it"
    )
    decide_temperature(config, note, is_exact=uses_temperature_one(config))
    stop, penalty = _stop(config), _penalty(config)
    _reference, handed = plan_reference(plan)
    reward = _reward(plan)
    plan_optimizer(config)
    loop = plan_loop(plan, plan_schedule(config))
    loop["ref"]["max_grad_norm"] = "0.0"
    loop["evaluation"], loop["eval_dataset"], loop["eval_on_start"] = "no", False, False
    if sizes.counts_episodes:
        config.fields.pop("num_train_epochs", None)
        config.defaults[:] = [name for name in config.defaults if name != "num_train_epochs"]
        if config.has("num_train_epochs"):
            config.ledger.decisions.pop(config.arguments["num_train_epochs"].found, None)
            config.exact("num_train_epochs", "nothing to do", "`total_episodes` counts")
    plan.ledger.notices.append(
        "MM215: the first epoch has the original's order; the original drew later ones from the "
        "random state that its sampling had advanced"
    )
    return loop, EpisodeFields(
        **_sizes(sizes),
        stop=stop,
        penalty=penalty,
        reward=reward,
        reference=bool(handed),
        handed=(*handed, ("reward_model", plan.arguments["reward_model"].value.text)),
    )


class _SizeFields(TypedDict):
    rollout: str
    mini: str
    micro: bool
    counts_episodes: bool


def _sizes(sizes: Sizes) -> _SizeFields:
    return _SizeFields(
        rollout=sizes.rollout,
        mini=sizes.mini,
        micro=sizes.micro,
        counts_episodes=sizes.counts_episodes,
    )


def _evaluation(config: ConfigPlan) -> None:
    """The original only printed samples of its evaluation rows."""
    note = "the original printed samples of the evaluation rows and computed nothing"
    for name in EVALUATION:
        config.decide(name, Fidelity.DROPPED, "MM222", "nothing", note)
        config.arguments.pop(name, None)


def _stop(config: ConfigPlan) -> str:
    """Return the token that ends a response, as an expression; "" for none."""
    name = "stop_token_id"
    given = config.text("stop_token")
    number = config.text(name)
    config.exact("stop_token", "SamplingParams(stop=...)")
    if given is not None and given != "None":
        if config.literal("stop_token") != "eos":
            raise Blocked(
                "MM292", f'`stop_token={given}` is not "eos"', config.arguments["stop_token"].found
            )
        config.exact(name, "nothing to do", "`stop_token` wins")
        return "tokenizer.eos_token_id"
    config.exact(name, "SamplingParams(stop=...)")
    if number is None or number == "None":
        return ""
    config.put(name, number)
    return f"config.{name}"


def _penalty(config: ConfigPlan) -> str:
    text = config.text("missing_eos_penalty")
    if text is not None and text != "None":
        config.keep("missing_eos_penalty")
        return "subtract"
    config.exact("missing_eos_penalty", "nothing to do")
    old = config.has("non_eos_penalty") and bool(config.literal("non_eos_penalty"))
    config.exact("non_eos_penalty", "the scores" if old else "nothing to do")
    if not old:
        config.exact("penalty_reward_value", "nothing to do")
        return ""
    if config.has("penalty_reward_value"):
        config.keep("penalty_reward_value")
    config.need("penalty_reward_value")
    return "replace"


def _reward(plan: TrainerPlan) -> str:
    """Keep what scores; return what it is, as far as the script shows it."""
    ledger, argument = plan.ledger, plan.given("reward_model")
    if argument is None:
        raise Blocked("MM230", "the trainer is built without a reward model", plan.trainer.found)
    row = ledger.tables.row(f"{plan.kind.trainer}.reward_model", ledger.version)
    call = maker_of(plan, argument)
    ledger.exact(argument.found, row, f"{plan.names['score']}()", "called where the script runs")
    if call is None:
        return "any"
    ledger.check_unclaimed(call)
    ledger.decide_call(call, Fidelity.EXACT, None, KEPT)
    return "model"


def maker_of(plan: TrainerPlan, argument: Argument) -> Call | None:
    """Return the source call that made an argument, inline or bound to a name."""
    ledger, value = plan.ledger, argument.value
    if value.call is None and value.name is not None:
        binding = ledger.binding_of(value.name, plan.trainer.scope, plan.trainer.statement)
        value = binding.value if binding is not None and binding.value is not None else value
    return None if value.call is None else ledger.call_of(value.call)


def decide_evaluation(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    """Decide `eval_dataset`, which only samples were printed for."""
    if name != "eval_dataset":
        return False
    note = "the original printed samples of these rows and computed nothing"
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.eval_dataset", plan.ledger.version)
    plan.ledger.decide(argument.found, Fidelity.DROPPED, row=row, code="MM222", note=note)
    return True

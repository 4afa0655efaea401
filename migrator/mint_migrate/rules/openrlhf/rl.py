"""The planner of OpenRLHF's RL entries: every part of the script, in the order it is read."""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_script import FilterScript, OpenRLHFScript
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.advantages import (
    plan_advantages,
    plan_divergence,
    plan_target,
)
from mint_migrate.rules.openrlhf.agents import plan_agent
from mint_migrate.rules.openrlhf.loss import plan_loss, plan_updates
from mint_migrate.rules.openrlhf.optimizer import plan_model, plan_optimizer
from mint_migrate.rules.openrlhf.options import at_least, fact, field_of, switch
from mint_migrate.rules.openrlhf.prompts import plan_prompts, total_length
from mint_migrate.rules.openrlhf.reward import plan_penalties, plan_reward
from mint_migrate.rules.openrlhf.sampling import plan_sampling
from mint_migrate.rules.openrlhf.saving import plan_saving, plan_tracker, plan_validation

ROLES = (
    *("learning_rate", "train", "save_checkpoint", "find_checkpoint"),
    *("build_batch", "policy_loss", "evaluate"),
)
NAMES = {role: role for role in ROLES} | {"learning_rate": "learning_rate_at"}
"""What the functions of a whole script are called: there are no names of the user's."""


def plan_rl(settings: Settings, read: Read) -> OpenRLHFScript:
    """Fill the record of an RL training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    plan_model(settings)
    prompts = plan_prompts(settings)
    sampling = plan_sampling(settings)
    advantages = plan_advantages(settings)
    agent = plan_agent(settings, read)
    reward = plan_reward(settings, is_agent=bool(agent))
    longest, stops = plan_penalties(settings)
    in_reward, in_loss = plan_divergence(settings)
    loss = plan_loss(settings, in_loss)
    chooses = _plan_filter(settings)
    updates = plan_updates(settings, is_ragged=prompts.keeps_rest)
    adapts = plan_target(settings, in_reward)
    schedule, ref = plan_optimizer(settings)
    saving = plan_saving(settings)
    if saving.resumes and chooses is not None:
        settings.differ(
            "load_checkpoint",
            "MM234",
            "a training that goes on draws its prompts from the beginning; the original goes on "
            "with those that are left",
            "collect_rollouts",
        )
    validation = plan_validation(settings)
    tracker, run_options = plan_tracker(settings)
    packs = switch(settings, "packing_samples", "nothing to do")
    return OpenRLHFScript(
        names=NAMES,
        fields=(),
        schedule=schedule,
        ref=ref,
        prompts=prompts,
        sampling=sampling,
        reward=reward,
        advantages=advantages,
        loss=loss,
        updates=updates,
        reference=in_reward is not None or in_loss is not None,
        reward_divergence=in_reward,
        validation=validation,
        agent=agent,
        masked=bool(agent),
        longest=total_length(settings),
        top_p=next((value for name, value in sampling if name == "top_p"), "1.0"),
        appends_end=bool(
            fact(settings, f"cut_{'packed_' if packs else ''}response_gets_end_token")
        ),
        ends_inside=at_least(settings, "0.8"),
        adapts=adapts,
        overlong=longest,
        stop_penalty=stops,
        filter=chooses,
        saves=saving.saves,
        resumes=saving.resumes,
        save_total_limit=saving.limits,
        tracker=tracker,
        run_options=run_options,
    )


def _appends_end(settings: Settings, *, packs: bool) -> bool:
    name = "cut_packed_response_gets_end_token" if packs else "cut_response_gets_end_token"
    return bool(fact(settings, name))


def _plan_filter(settings: Settings) -> FilterScript | None:
    key = "dynamic_filtering_reward_range"
    if not switch(settings, "dynamic_filtering", "collect_rollouts"):
        settings.exact(key, "nothing", "no prompt is dropped")
        return None
    field_of(settings, key, "[0.0, 1.0]", "list")
    by_rollouts = fact(settings, "filtering_replaces") == "rollouts"
    return FilterScript(margin=by_rollouts, whole=by_rollouts)

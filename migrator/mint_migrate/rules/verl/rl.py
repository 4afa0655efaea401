"""The planner of verl's RL entries: every part of the script, in the order it is read."""

from __future__ import annotations

from dataclasses import replace

from mint_migrate.launches.processes import Read
from mint_migrate.model.verl_script import UpdatesScript, VerlScript
from mint_migrate.rules.launched.names import NAMES
from mint_migrate.rules.launched.serving import suggest_serving
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.verl.advantages import plan_advantages
from mint_migrate.rules.verl.data import plan_rows
from mint_migrate.rules.verl.divergence import plan_reward_divergence
from mint_migrate.rules.verl.dynamic import plan_group_filter, plan_overlong
from mint_migrate.rules.verl.model import RL_MODEL, plan_model
from mint_migrate.rules.verl.optimizer import plan_optimizer
from mint_migrate.rules.verl.policy_loss import plan_policy_loss
from mint_migrate.rules.verl.reward import plan_reward
from mint_migrate.rules.verl.sampling import plan_sampling
from mint_migrate.rules.verl.saving import plan_saving, plan_tracker
from mint_migrate.rules.verl.tools import plan_tools
from mint_migrate.rules.verl.validation import plan_validation


def plan_rl(settings: Settings, read: Read) -> VerlScript:
    """Fill the record of an RL training.

    Raises:
        Blocked: the training cannot be expressed on MinT.
    """
    plan_model(settings, RL_MODEL)
    suggest_serving(
        settings,
        model=RL_MODEL.path,
        counts=("trainer.nnodes", "trainer.n_gpus_per_node"),
    )
    rows = plan_rows(settings)
    sampling = plan_sampling(settings)
    reward = plan_reward(settings, read)
    updates = _plan_updates(settings)
    schedule, ref = plan_optimizer(settings)
    validation = plan_validation(settings)
    saves, resumes = plan_saving(settings)
    advantages = plan_advantages(settings)
    divergence = plan_reward_divergence(settings)
    loss = plan_policy_loss(settings, reused=updates.mini_batches or updates.epochs)
    group_filter = plan_group_filter(settings)
    overlong = plan_overlong(settings)
    tools = plan_tools(settings, advantages, is_plain=not group_filter and not overlong)
    if tools is not None:
        # The server's own losses train on everything behind the prompt.
        loss = replace(loss, builtin="")
    return VerlScript(
        names=NAMES,
        fields=(),
        schedule=schedule,
        ref=ref,
        rows=rows,
        sampling=sampling,
        reward=reward,
        updates=updates,
        advantages=advantages,
        reward_divergence=divergence,
        loss=loss,
        group_filter=group_filter,
        overlong=overlong,
        tools=tools,
        validation=validation,
        saves=saves,
        resumes=resumes,
        tracker=plan_tracker(settings),
        limit_steps=_plan_length(settings),
    )


def _plan_updates(settings: Settings) -> UpdatesScript:
    """Decide how many optimizer steps a rollout gives."""
    settings.use("data.train_batch_size", comment="prompts of a rollout")
    settings.use("actor_rollout_ref.rollout.n", "responses_per_prompt")
    settings.use(
        "actor_rollout_ref.actor.ppo_mini_batch_size", comment="prompts of an optimizer step"
    )
    epochs = "actor_rollout_ref.actor.ppo_epochs"
    repeats = bool(settings.tables.fact("verl_policy_epochs", settings.version).value)
    if repeats:
        settings.use(epochs)
    sizes = [
        settings.value(key)
        for key in ("data.train_batch_size", "actor_rollout_ref.actor.ppo_mini_batch_size")
    ]
    is_one = all(size.is_known for size in sizes) and sizes[0].data == sizes[1].data
    return UpdatesScript(
        mini_batches=not is_one, epochs=repeats and settings.value(epochs).data != 1
    )


def _plan_length(settings: Settings) -> bool:
    settings.use("trainer.total_epochs")
    if settings.value("trainer.total_training_steps").data is None:
        settings.exact("trainer.total_training_steps", "nothing")
        return False
    settings.use("trainer.total_training_steps")
    return True

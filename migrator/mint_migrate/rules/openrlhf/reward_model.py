"""The planner of `openrlhf.cli.train_rm`, where it may do without its head.

The rewrite is that of TRL's reward trainer: the reward of an answer is the mean log-probability of
its tokens. Rows, batches, schedule and the loss over two rewards are the original's.

Source: OpenRLHF `cli/train_rm.py`, `datasets/reward_dataset.py`, `trainer/rm_trainer.py`,
`models/loss.py` (0.6.4, 0.11.2).
"""

from __future__ import annotations

from mint_migrate.launches.processes import Read
from mint_migrate.model.openrlhf_rows_script import OpenRlhfRewardScript
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.openrlhf.options import switch
from mint_migrate.rules.openrlhf.rows import (
    close_training,
    open_training,
    plan_batches,
    plan_pairs,
)

CHANGED = (
    "another algorithm, asked for with --reward-model generative: no scalar head is trained; the "
    "reward of an answer is the mean log-probability of its tokens, trained to be higher for the "
    "chosen answer"
)


def plan_reward_model(settings: Settings, read: Read) -> OpenRlhfRewardScript:
    """Fill the record of a generative reward model.

    Raises:
        Blocked: it is not asked for, or the training cannot be expressed on MinT.
    """
    if not settings.headless:
        raise Blocked(
            "MM242",
            "a reward model needs a scalar head, which MinT does not have; train it with OpenRLHF, "
            "or pass `--reward-model generative` for one that scores by its log-probabilities "
            "(another algorithm)",
        )
    data = open_training(settings)
    settings.differ("pretrain", "MM258", CHANGED, "config.model")
    prompt = plan_pairs(settings)
    plan_batches(settings)
    room = "a pair whose prompt leaves no room for an answer is left out: nothing of it has a score"
    settings.decide("max_len", Fidelity.APPROXIMATE, "MM258", "config.max_len", room)
    margin = _plan_loss(settings)
    shared = close_training(settings, data, "9e-06")
    return OpenRlhfRewardScript(
        **shared, prompt=prompt, splits=not prompt and not data.chat, margin=margin
    )


def _plan_loss(settings: Settings) -> bool:
    """Decide the loss over two rewards; say whether rows give a margin."""
    kind = settings.known("loss") or "sigmoid"
    is_sigmoid = kind == "sigmoid"
    same = "" if is_sigmoid else "-log sigmoid of the difference, which is the same number"
    settings.exact("loss", "preference_loss", same)
    margin = switch(settings, "margin_loss", "preference_loss") and is_sigmoid
    if not is_sigmoid:
        settings.exact("margin_loss", "nothing", f"the loss `{kind}` looks at no margin")
    settings.exact("compute_fp32_loss", "preference_loss", "losses are computed in float32")
    return margin

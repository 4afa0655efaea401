"""`RewardTrainer(...)` is refused: MinT trains no scalar head.

With `--reward-model generative` it becomes a loop over the same pairs, in which the reward of an
answer is the mean log-probability of its tokens. That is another algorithm, and the result says so.
"""

from __future__ import annotations

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.pairs_script import RewardScript, RowsScript
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.carried import SCALAR_HEAD
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.answers import evaluation_rows, imports
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import loop_fields, open_loop
from mint_migrate.rules.trl.pairs.rows import known_columns, maximal_length, notice_columns
from mint_migrate.rules.trl.state import TrainerPlan

DEFAULT_LENGTH = "512"
"""Of releases whose configuration names none."""
HEAD = "there is no scalar head: the reward is read off the model's log-probabilities"
HEADS = frozenset({"num_labels", "problem_type"})
"""Arguments of a model that are about its head."""
CHANGED = (
    "another algorithm, asked for with --reward-model generative: no scalar head is trained; the "
    "reward of an answer is the mean log-probability of its tokens, trained to be higher for the "
    "chosen answer"
)


def check_reward(ledger: Ledger, trainer: Call, arguments: dict[str, Argument]) -> None:
    """Refuse a reward model unless it may do without its head.

    Raises:
        Blocked: the option is not given.
    """
    if ledger.options.reward_model is None:
        raise Blocked(
            "MM242",
            "a reward model needs a scalar head, which MinT does not have; train it with TRL, or "
            "pass `--reward-model generative` for one that scores by its log-probabilities "
            "(another algorithm)",
            trainer.found,
        )


def plan_reward(plan: TrainerPlan) -> RewardScript:
    """Decide the options of a generative reward model.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    ledger = plan.ledger
    loop = open_loop(plan, "Reward")
    shared, epochs = loop_fields(plan, loop)
    length = maximal_length(plan.config, "max_length", DEFAULT_LENGTH)
    columns = known_columns(ledger)
    if "prompt" not in columns:
        notice_columns(ledger, plan.names["split_prompt"])
    ledger.differ(plan.trainer.found, "MM258", CHANGED, plan.train_use.statement)
    _drop_heads(plan)
    return RewardScript(
        **shared,
        **epochs,
        rows=RowsScript(
            recent=False, splits_prompt="prompt" not in columns, max_length=length, cut="own"
        ),
        loss_type="generative",
        divisor=loop.divisor,
    )


def _drop_heads(plan: TrainerPlan) -> None:
    """Decide what made the model's head: it is left out, as the user asked."""
    ledger = plan.ledger
    for call in plan.model.calls:
        if not ledger.tables.canonical(call.qualified).endswith(SCALAR_HEAD):
            continue
        heads = [call.found, *(item.found for item in call.arguments if item.keyword in HEADS)]
        for found in heads:
            ledger.decisions.pop(found, None)
            ledger.decide(found, Fidelity.APPROXIMATE, code="MM258", note=HEAD)


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    """Decide what the rows of the trainer refuse and the generative model takes."""
    if name not in {"model", "args", "train_dataset", "eval_dataset", "processing_class"}:
        return False
    row = plan.ledger.tables.row(f"{plan.kind.trainer}.{name}", plan.ledger.version)
    target = f"{plan.names['train']}()"
    if name == "model":
        plan.ledger.decide(
            argument.found, Fidelity.APPROXIMATE, row=row, code="MM258", target=target, note=HEAD
        )
    else:
        plan.ledger.exact(argument.found, row, target)
    return True


REWARD = TrainerKind(
    trainer="trl.RewardTrainer",
    config="trl.RewardConfig",
    short="reward",
    headline="A generative reward model",
    positional=lambda version: (
        *("model", "args", "data_collator", "train_dataset", "eval_dataset", "processing_class"),
    ),
    decided=frozenset({"max_length"}),
    roles=ROLES | {"loss": ("reward_loss", "pairwise_reward_loss", "reward_loss_on_mint")},
    plan=plan_reward,
    decide=_decide,
    imports=imports,
    evaluation_rows=evaluation_rows,
    check=check_reward,
)

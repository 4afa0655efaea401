"""`BCOTrainer(...)` and its `.train()` become a loop with BCO's loss on the client.

Formulas: TRL v1.13.0, `experimental/bco/bco_trainer.py`, the last release that has it, and its
older releases. The classifier of prompts that weighs rows (underlying distribution matching) needs
the embeddings of another model and is refused.
"""

from __future__ import annotations

from mint_migrate.model.pairs_script import BcoScript, RowsScript
from mint_migrate.model.script import LoopScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.pairs.labeled import evaluation_rows, plan_labels, plan_prompt_cut
from mint_migrate.rules.trl.pairs.names import ROLES
from mint_migrate.rules.trl.pairs.plan import Facts, loop_fields, number, open_loop
from mint_migrate.rules.trl.pairs.reference import plan_reference
from mint_migrate.rules.trl.pairs.rows import maximal_length
from mint_migrate.rules.trl.pairs.shuffled import plan_shuffle
from mint_migrate.rules.trl.state import TrainerPlan

DECIDED = frozenset(
    {"beta", "max_length", "max_prompt_length", "truncation_mode", "precompute_ref_log_probs"}
)
UNSET_LENGTH = "512"
"""What an unset `max_length` means."""
CLASSIFIER = (
    "`embedding_func` and `embedding_tokenizer` weigh undesirable rows by a classifier of their "
    "prompts, trained on embeddings of a model beside the policy; leave both out, or compute the "
    "weights before training and multiply them in `bco_loss`"
)
DELTA_OF_PROCESSES = (
    "the mean of the rewards was taken over the micro-batches of all processes at once; the result "
    "takes them one after the other"
)
DELTA_OF_EVALUATIONS = (
    "in this release an evaluation counted its own rewards into the mean that the loss compares "
    "with; the result counts those of training alone"
)


def plan_bco(plan: TrainerPlan) -> BcoScript:
    """Decide the options of BCO.

    Raises:
        Blocked: the loop depends on something that cannot be seen, or rows are weighed.
    """
    config = plan.config
    _check_unweighed(plan)
    loop = open_loop(plan, "BCO")
    facts = loop.facts
    number(plan, "beta")
    config.exact(
        "precompute_ref_log_probs",
        "reference_logprobs()",
        "the reference is always asked before training",
    )
    if plan.ledger.options.num_processes != 1:
        plan.ledger.differ(
            plan.trainer.found, "MM223", DELTA_OF_PROCESSES, plan.train_use.statement
        )
    shared, epochs = loop_fields(plan, loop)
    epochs["order"] = "sequential"
    config.exact("train_sampling_strategy", "the order of the rows", "this trainer never looks")
    if facts["bco_delta"] == "batches" and shared["evaluation"] != "no":
        plan.ledger.differ(
            plan.trainer.found, "MM262", DELTA_OF_EVALUATIONS, plan.train_use.statement
        )
    reference, handed = plan_reference(plan)
    return BcoScript(
        **shared,
        **epochs,
        handed=handed,
        rows=_rows(plan, facts),
        loss_type="bco",
        divisor=loop.divisor,
        reference=reference,
        shuffle_seed=plan_shuffle(plan, facts),
        counts_batches=facts["bco_delta"] == "batches",
    )


def _check_unweighed(plan: TrainerPlan) -> None:
    """Raises: Blocked: rows are weighed by a classifier of prompts; it takes both arguments."""
    function, tokenizer = plan.given("embedding_func"), plan.given("embedding_tokenizer")
    if function is not None and tokenizer is not None:
        raise Blocked("MM221", CLASSIFIER, function.found)


def _rows(plan: TrainerPlan, facts: Facts) -> RowsScript:
    """Decide how rows become tokens."""
    length = maximal_length(plan.config, "max_length", UNSET_LENGTH)
    prompt_length, truncation = plan_prompt_cut(plan.config, cuts=bool(facts["bco_cuts_prompt"]))
    takes_pairs = bool(facts["bco_takes_pairs"])
    unpairs, splits_prompt, only_if_paired = plan_labels(plan, takes_pairs=takes_pairs)
    return RowsScript(
        unpairs=unpairs,
        splits_prompt=splits_prompt,
        only_if_paired=only_if_paired,
        recent=False,
        conversations=bool(facts["pairs_conversations"]),
        drops_long_prompts=False,
        max_length=length,
        max_prompt_length=prompt_length,
        truncation=truncation,
    )


def _positional(version: str) -> tuple[str, ...]:
    return (
        *("model", "ref_model", "args", "train_dataset", "eval_dataset", "processing_class"),
        *("data_collator", "model_init", "callbacks", "optimizers"),
    )


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, BcoScript)
    return frozenset({"import torch"} | ({"import os"} if script.rows.conversations else set()))


BCO = TrainerKind(
    trainer="trl.BCOTrainer",
    config="trl.BCOConfig",
    short="bco",
    headline="Binary classifier optimization",
    calls_callbacks=True,
    positional=_positional,
    decided=DECIDED,
    roles=ROLES
    | {
        "loss": ("bco_loss", "binary_classifier_loss", "bco_loss_on_mint"),
        "read_running": ("read_running", "running_mean_of_rewards"),
    },
    plan=plan_bco,
    imports=_imports,
    evaluation_rows=evaluation_rows,
)

"""`SFTTrainer(...)` and its `.train()` become a loop with `cross_entropy`."""

from __future__ import annotations

from mint_migrate.model.facts import Argument
from mint_migrate.model.script import LoopScript
from mint_migrate.model.sft_script import AnswersScript, SftScript
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import plan_batch, plan_plain_fields
from mint_migrate.rules.trl.kind import TrainerKind
from mint_migrate.rules.trl.learning_rate import scale_learning_rate
from mint_migrate.rules.trl.loop import plan_epochs, plan_loop
from mint_migrate.rules.trl.optimizer import plan_optimizer
from mint_migrate.rules.trl.schedule import plan_schedule
from mint_migrate.rules.trl.sft.answers import decide_label_collator, plan_answers
from mint_migrate.rules.trl.sft.data import decide_formatting, plan_data, without_masks
from mint_migrate.rules.trl.sft.packing import PACKING, is_flat, packed, plan_packing
from mint_migrate.rules.trl.state import TrainerPlan
from mint_migrate.rules.trl.windows import plan_windows

DECIDED = PACKING | frozenset(
    {
        "assistant_only_loss",
        "loss_type",
        "dataset_text_field",
        "completion_only_loss",
        "truncation_mode",
        "eos_token",
        "shuffle_dataset",
    }
)


def plan_sft(plan: TrainerPlan) -> SftScript:
    """Decide the options of supervised fine-tuning.

    Raises:
        Blocked: the loop depends on something that cannot be seen.
    """
    ledger, config = plan.ledger, plan.config
    facts = {name: fact.value for name, fact in ledger.tables.facts(ledger.version).items()}
    windows = plan_windows(config, facts)
    plan_plain_fields(config, plan.read_elsewhere)
    scale_learning_rate(plan)
    plan_batch(config, windows.needs_micro_batches)
    config.need("output_dir", plan.default_output("SFT"))
    config.need("learning_rate")
    data = plan_data(ledger, config, plan.arguments, facts)
    answers = plan_answers(plan)
    if answers is not None:
        data = without_masks(data)
    packing = plan_packing(plan, windows, facts)
    if packing is not None:
        data = packed(data, packing)
    dft = _is_dft(plan)
    flat = is_flat(config, packing)
    plan_optimizer(config)
    schedule = plan_schedule(config)
    loop = plan_loop(plan, schedule)
    epochs = plan_epochs(plan, windows, facts)
    passes = ("formatting_func",) if data.format == "formatting_func" else ()
    return SftScript(
        **loop,
        **epochs,
        data=data,
        packing=packing,
        dft=dft,
        answers=None if answers is None else answers.script,
        handed=() if answers is None else answers.handed,
        passes=passes,
        counts_first_token=facts["loss_divisor"] == "labels" and not windows.averages and not flat,
    )


def _is_dft(plan: TrainerPlan) -> bool:
    """Say whether tokens are weighed by their own probability, and decide so.

    Raises:
        Blocked: which loss it is cannot be seen.
    """
    config, name = plan.config, "loss_type"
    if not config.has(name):
        return False
    if config.literal(name) == "dft":
        config.exact(name, f"{plan.names['dft_loss']}()")
        return True
    argument = config.arguments[name]
    row = config.row(name)
    if row is None or argument.value.literal not in row.neutral:
        raise Blocked("MM221", f"the loss `{argument.value.text}` is not converted", argument.found)
    config.exact(name, "forward_backward(loss_fn='cross_entropy')")
    return False


def _decide(plan: TrainerPlan, name: str, argument: Argument) -> bool:
    assert isinstance(plan.script, SftScript)
    if name == "data_collator" and plan.script.answers is not None:
        return _decide_collator(plan, plan.script.answers, argument)
    if name != "formatting_func":
        return False
    decide_formatting(plan.ledger, argument, plan.script.data.batched_formatting)
    return True


def _decide_collator(plan: TrainerPlan, answers: AnswersScript, argument: Argument) -> bool:
    if answers.how == "chats":
        return decide_label_collator(plan, argument)
    row = plan.ledger.tables.row("trl.SFTTrainer.data_collator")
    plan.ledger.exact(argument.found, row, f"{plan.names['mask_answers']}()")
    return True


def _imports(plan: TrainerPlan, script: LoopScript) -> frozenset[str]:
    assert isinstance(script, SftScript)
    has_prompt = script.data.format in {"any", "prompt_completion", "prompt_completion_chat"}
    needed = {"import torch"} if script.dft else set()
    if script.packing is not None and script.packing.shuffled:
        needed.add("import numpy as np")
    if has_prompt and script.data.completion_only and script.data.pairs == "common_prefix":
        needed.add("import os")
    if script.answers is not None and script.answers.how != "chats":
        needed.add("import warnings")
    return frozenset(needed)


def _evaluation_rows(plan: TrainerPlan, script: LoopScript, tokenizer: str) -> str | None:
    assert isinstance(script, SftScript)
    if script.data.batched_formatting:
        return None
    extra = ""
    if script.data.format == "formatting_func":
        extra = f", {plan.arguments['formatting_func'].value.text}"
    row = f"{plan.names['tokenize']}(row, {tokenizer}, {plan.config_name}{extra})"
    if script.packing is not None and script.packing.evaluation and script.answers is None:
        rows = f"[{row} for row in {{dataset}}]"
        return f"{plan.names['pack_rows']}({rows}, {plan.config_name}.max_length)"
    if script.packing is not None:
        return None
    if script.answers is None:
        return f"[{row} for row in {{dataset}}]"
    handed = dict(script.handed)
    names = (script.answers.tokenizer, *(item.name for item in script.answers.templates))
    values = ", ".join(handed.get(name, tokenizer) for name in names)
    mask = f"{plan.names['mask_answers']}(tokens, {values})"
    return f"[(tokens, {mask}) for tokens in ({row} for row in {{dataset}})]"


SFT = TrainerKind(
    trainer="trl.SFTTrainer",
    config="trl.SFTConfig",
    short="sft",
    headline="Supervised fine-tuning",
    calls_callbacks=True,
    positional=lambda version: (
        "model",
        "args",
        "data_collator",
        "train_dataset",
        "eval_dataset",
        "processing_class",
    ),
    adopted=lambda version: ("max_seq_length", "dataset_text_field"),
    carried=frozenset({"max_length"}),
    decided=DECIDED,
    run_time=frozenset({"dataset_text_field"}),
    plan=plan_sft,
    roles={
        "dft_loss": ("dft_loss", "mint_dft_loss"),
        "pack_rows": ("pack_rows", "packed_rows", "packs_of_rows"),
        "mask_answers": ("mask_answers", "answer_mask", "mask_of_answers"),
    },
    decide=_decide,
    imports=_imports,
    evaluation_rows=_evaluation_rows,
)

"""Rule: a collator or a function that finds answers by the text of a template.

`DataCollatorForCompletionOnlyLM` of TRL before 0.20 masks the rows of each batch;
`train_on_responses_only` of unsloth changes the trainer's data sets before training. Both become a
function on the tokens of a row. Sources: TRL v0.19.1, `trainer/utils.py`; unsloth_zoo 2025.10.12,
`dataset_utils.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.facts import Argument, Call, Value
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.sft_script import AnswersScript, TextTemplate
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.checks import check_handed
from mint_migrate.rules.trl.state import TrainerPlan

COLLATOR = "trl.DataCollatorForCompletionOnlyLM"
COLLATOR_PARAMETERS = ("response_template", "instruction_template", "tokenizer")
COLLATOR_NEUTRAL = {
    "mlm": ("False",),
    "ignore_index": ("-100",),
    "padding_free": ("True", "False"),
    "pad_to_multiple_of": None,
    "return_tensors": ("'pt'",),
}
"""Options without an effect on the loss with these values; None: with any."""
UNSLOTH = "unsloth.chat_templates.train_on_responses_only"
UNSLOTH_PARAMETERS = ("trainer", "instruction_part", "response_part", "force_match", "tokenizer")
LABEL_COLLATOR = "transformers.DataCollatorForSeq2Seq"
"""Pads labels that the rows bring; unsloth's function puts it in where it is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersPlan:
    """How answers are found, and what the call of `train` hands on for it."""

    script: AnswersScript
    handed: tuple[tuple[str, str], ...]


def plan_answers(plan: TrainerPlan) -> AnswersPlan | None:
    """Find what says where answers begin; None where nothing does.

    Raises:
        Blocked: the same is asked for twice, or its arguments cannot be followed.
    """
    calls = [call for call in plan.ledger.facts.calls if _is_about(plan, call)]
    collator = _collator(plan)
    if len(calls) > 1 or (calls and collator is not None):
        raise Blocked("MM225", "answers are found by two rules", calls[0].found)
    if calls:
        return _from_unsloth(plan, calls[0])
    return None if collator is None else _from_collator(plan, collator)


def _collator(plan: TrainerPlan) -> Call | None:
    call = _given_collator(plan)
    is_ours = call is not None and plan.ledger.tables.canonical(call.qualified) == COLLATOR
    return call if is_ours else None


def _given_collator(plan: TrainerPlan) -> Call | None:
    argument = plan.given("data_collator")
    if argument is None:
        return None
    return plan.ledger.call_behind(argument.value, plan.trainer.scope, plan.trainer.statement)


def _from_collator(plan: TrainerPlan, call: Call) -> AnswersPlan | None:
    ledger = plan.ledger
    arguments = _bind(call, COLLATOR_PARAMETERS)
    if arguments is None or "response_template" not in arguments:
        return None
    for name, argument in arguments.items():
        allowed = COLLATOR_NEUTRAL.get(name, ())
        if name in COLLATOR_PARAMETERS or allowed is None or argument.value.literal in allowed:
            continue
        raise Blocked(
            "MM225", f"`{argument.found.source_text}` of the collator is not converted", call.found
        )
    names = [name for name in COLLATOR_PARAMETERS[:2] if _is_given(arguments.get(name))]
    given = [(name, arguments[name]) for name in names]
    tokenizer = _tokenizer(plan, arguments.get("tokenizer"))
    script = AnswersScript(
        how="turns" if len(given) == 2 else "last",
        templates=tuple(TextTemplate(name=name, form=_form(plan, item)) for name, item in given),
        tokenizer="template_tokenizer" if tokenizer is not None else "tokenizer",
    )
    _claim(plan, call, arguments)
    if call.is_statement and call.target is not None:
        ledger.remove_statement(call.statement)
        ledger.removed[(call.target, call.scope)] = "MM225"
    return AnswersPlan(script=script, handed=_handed(tokenizer, given))


def _from_unsloth(plan: TrainerPlan, call: Call) -> AnswersPlan:
    ledger = plan.ledger
    arguments = _bind(call, UNSLOTH_PARAMETERS) or {}
    parts = ("instruction_part", "response_part")
    given = [(name, arguments[name]) for name in parts if _is_given(arguments.get(name))]
    force = arguments.get("force_match")
    if len(given) != 2:
        note = "`train_on_responses_only` needs `instruction_part` and `response_part` as keywords"
        raise Blocked("MM225", f"{note}; unsloth's own templates are not known here", call.found)
    if force is not None and force.value.literal != "True":
        note = "`force_match` other than True looks for parts of the templates"
        raise Blocked("MM225", f"{note}, which is not converted", force.found)
    if call.statement.column != plan.train_use.statement.column or not call.is_statement:
        note = "whether `train_on_responses_only` is called is only known at run time"
        raise Blocked("MM225", f"{note}; call it beside `train()`", call.found)
    tokenizer = _tokenizer(plan, arguments.get("tokenizer"))
    script = AnswersScript(
        how="chats",
        templates=tuple(TextTemplate(name=name, form="text") for name, _ in given),
        tokenizer="template_tokenizer" if tokenizer is not None else "tokenizer",
    )
    _claim(plan, call, arguments)
    ledger.remove_statement(call.statement)
    return AnswersPlan(script=script, handed=_handed(tokenizer, given))


def _is_about(plan: TrainerPlan, call: Call) -> bool:
    """Say whether a call is unsloth's function on this trainer, before it is trained."""
    if plan.ledger.tables.canonical(call.qualified) != UNSLOTH or not call.arguments:
        return False
    named = next((item for item in call.arguments if item.keyword == "trainer"), None)
    trainer = named or call.arguments[0]
    is_same = call.scope == plan.trainer.scope and call.target in {None, plan.trainer.target}
    is_between = plan.trainer.statement < call.statement < plan.train_use.statement
    return trainer.value.name == plan.trainer.target and is_same and is_between


def decide_label_collator(plan: TrainerPlan, argument: Argument) -> bool:
    """Decide a collator that only pads, where unsloth's function has made the labels."""
    call = _given_collator(plan)
    if call is None or plan.ledger.tables.canonical(call.qualified) != LABEL_COLLATOR:
        return False
    padding = {
        "tokenizer",
        "padding",
        "pad_to_multiple_of",
        "max_length",
        "return_tensors",
        "model",
    }
    if any(item.keyword not in padding and item.index != 0 for item in call.arguments):
        return False
    ledger = plan.ledger
    ledger.exact(argument.found, ledger.tables.row("trl.SFTTrainer.data_collator"), "build_batch()")
    ledger.decide_call(call, Fidelity.EXACT, None, "it only padded the rows of a batch")
    if call.is_statement and call.target is not None:
        ledger.remove_statement(call.statement)
        ledger.removed[(call.target, call.scope)] = "MM225"
    return True


def _bind(call: Call, parameters: tuple[str, ...]) -> dict[str, Argument] | None:
    """Return the arguments by name; None where some are hidden or in excess."""
    bound = {}
    for argument in call.arguments:
        if argument.star or (argument.keyword is None and argument.index >= len(parameters)):
            return None
        bound[argument.keyword or parameters[argument.index]] = argument
    return bound


def _is_given(argument: Argument | None) -> bool:
    return argument is not None and argument.value.literal != "None"


def _tokenizer(plan: TrainerPlan, argument: Argument | None) -> Argument | None:
    """Return the tokenizer of the templates, where it is not the trainer's by name."""
    if argument is None or not _is_given(argument):
        return None
    own = plan.given("processing_class")
    return None if own is not None and own.value.text == argument.value.text else argument


def _form(plan: TrainerPlan, argument: Argument) -> str:
    """Say whether a template is text or a list of tokens, as far as the script shows it."""
    return _form_of(plan.ledger, argument.value, plan) or "any"


def _form_of(ledger: Ledger, value: Value, plan: TrainerPlan) -> str | None:
    if value.literal is not None:
        return "text" if value.literal[0] in "'\"" else "ids"
    if value.name is None:
        return None
    binding = ledger.binding_of(value.name, plan.trainer.scope, plan.trainer.statement)
    literal = binding.value.literal if binding is not None and binding.value is not None else None
    return None if literal is None else "text" if literal[0] in "'\"" else "ids"


def _handed(
    tokenizer: Argument | None, given: list[tuple[str, Argument]]
) -> tuple[tuple[str, str], ...]:
    own = [] if tokenizer is None else [("template_tokenizer", tokenizer.value.text)]
    return (*own, *((name, argument.value.text) for name, argument in given))


def _claim(plan: TrainerPlan, call: Call, arguments: dict[str, Argument]) -> None:
    """Decide a call that became `mask_answers`, with all of its arguments."""
    ledger = plan.ledger
    target = f"{plan.names['mask_answers']}()"
    for argument in arguments.values():
        check_handed(plan, argument, call)
    ledger.check_unclaimed(call)
    ledger.exact(call.found, ledger.tables.row(call.qualified), target)
    for name, argument in arguments.items():
        row = ledger.tables.row(f"{call.qualified}.{name}")
        is_handed = name in {"response_template", "instruction_template", "tokenizer"}
        note = "" if is_handed or name.endswith("_part") else "has no effect on the loss"
        if name == "trainer":
            note = "its rows are masked where they are made"
        ledger.exact(argument.found, row, target, note)

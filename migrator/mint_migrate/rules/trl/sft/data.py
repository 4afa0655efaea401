"""Rule: which columns are tokenized, how, and which tokens count.

TRL looks at the columns of the first row; a static tool sees only the code. Where the code shows
the columns, the result says what happens to them; where it does not, the result looks at run time,
in TRL's order.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mint_migrate.model.facts import Argument, FunctionFact
from mint_migrate.model.plan import Fidelity
from mint_migrate.model.sft_script import DataScript
from mint_migrate.rules.base import Blocked, Ledger
from mint_migrate.rules.trl.config import ConfigPlan

Facts = dict[str, str | bool | int | None]

STREAMING = re.compile(r"\bstreaming\s*=\s*True\b")

CHAT = {
    "apply_chat_template": "ids",
    "render_then_tokenize": "text",
    "render_then_tokenize_with_special_tokens": "text_special",
}


def plan_data(
    ledger: Ledger, config: ConfigPlan, trainer: dict[str, Argument], facts: Facts
) -> DataScript:
    """Decide how a row becomes tokens.

    Raises:
        Blocked: a choice the loop depends on is not a literal.
    """
    if STREAMING.search(ledger.facts.text):
        raise Blocked(
            "MM503", "the data set is streamed; the loop needs its length, so load it whole"
        )
    kind = _format(ledger, config, trainer, facts)
    text_field = _text_field(config, trainer)
    completion_only = _completion_only(config, facts)
    is_completion = kind in {"prompt_completion", "prompt_completion_chat"}
    assistant_only = _assistant_only(config, kind, facts)
    eos = _eos(kind, text_field, facts)
    masks_padding = bool(facts["pad_tokens_masked"])
    masked = (
        assistant_only
        or kind in {"any", "tokens"}
        or (is_completion and completion_only)
        or masks_padding
    )
    cut = _cut(config, trainer, facts)
    cuts_tokens = bool(facts["truncates_tokenized_rows"])
    if kind == "tokens" and not cuts_tokens:
        cut = ""
    if kind == "any":
        ledger.notices.append(
            "MM501: the script does not show the data set's columns; tokenize_row looks at "
            "them when it runs, "
            "in the order TRL does"
        )
    data = DataScript(
        format=kind,
        text_field=text_field,
        eos=eos,
        pairs=str(facts["prompt_completion"]).removeprefix("joint_"),
        chat=CHAT[str(facts["chat_tokenization"])],
        masked=masked,
        completion_only=completion_only,
        assistant_only=assistant_only,
        marks_generation=facts["prompt_generation_mark"] is not False,
        masks_padding=masks_padding,
        reads_labels=bool(facts["reads_labels"]),
        cuts_tokens=cuts_tokens,
        drops_masked=masked and bool(cut) and bool(facts["drops_fully_masked_rows"]),
        cut=cut,
        batched_formatting=kind == "formatting_func" and _is_batched(ledger, trainer, facts),
    )
    _decide_fields(config, data)
    return data


def without_masks(data: DataScript) -> DataScript:
    """Return the same rows, where what is trained on is decided by their tokens afterwards."""
    return replace(data, masked=True, completion_only=False, reads_labels=False, drops_masked=False)


def _format(ledger: Ledger, config: ConfigPlan, trainer: dict[str, Argument], facts: Facts) -> str:
    formatting = trainer.get("formatting_func")
    has_function = formatting is not None and formatting.value.literal != "None"
    is_open = "dataset_text_field" in config.open
    has_field = (
        config.has("dataset_text_field") and not is_open
    ) or "dataset_text_field" in trainer
    if has_function and (facts["formatting_func_wins"] or not has_field):
        return "formatting_func"
    if has_field:
        return "text"
    made = set(ledger.facts.produced_columns)
    read = set(ledger.facts.read_columns)
    return _format_of(made) or _format_of(read - {"prompt", "completion"}) or "any"


def _eos(kind: str, text_field: str, facts: Facts) -> str:
    """Return what is appended: nothing, the end token's text, or its id."""
    rule = facts["eos_rule"]
    if rule == "id_to_every_row":
        return "id"
    only_text_column = rule == "text_to_column_text_or_completion"
    if kind == "text" and only_text_column and text_field.strip("\"'") != "text":
        return "none"
    return "none" if rule == "none" else "text"


def _format_of(columns: set[str]) -> str | None:
    """Return the format a set of columns means to TRL, in its order of precedence."""
    if "input_ids" in columns:
        return "tokens"
    if {"prompt", "completion", "conversations"} & columns:
        return "any"
    if "messages" in columns:
        return "messages"
    return "text" if "text" in columns else None


def _text_field(config: ConfigPlan, trainer: dict[str, Argument]) -> str:
    argument = trainer.get("dataset_text_field") or config.arguments.get("dataset_text_field")
    if argument is None:
        return '"text"'
    if argument.value.literal is not None:
        return argument.value.text
    config.put("dataset_text_field", argument.value.text)
    return "config.dataset_text_field"


def _completion_only(config: ConfigPlan, facts: Facts) -> bool:
    if not config.has("completion_only_loss"):
        return facts["completion_only_default"] != "never"
    return config.literal("completion_only_loss") is not False


def _assistant_only(config: ConfigPlan, kind: str, facts: Facts) -> bool:
    """Say whether only the turns of the assistant count, as the chat template marks them.

    Raises:
        Blocked: the rows are no conversations, which TRL refuses as well.
    """
    name = "assistant_only_loss"
    if not config.has(name) or not config.literal(name):
        config.exact(name, "weights of all tokens")
        return False
    if kind not in {"messages", "prompt_completion_chat", "any"}:
        note = "`assistant_only_loss=True` needs conversations, which the script does not show"
        raise Blocked("MM224", note, config.arguments[name].found)
    if facts["own_training_templates"]:
        note = (
            "the chat template must have {% generation %} marks: this release has templates of its "
            "own for some models that lack them, the result stops there"
        )
        config.decide(name, Fidelity.APPROXIMATE, "MM224", "weights of the assistant", note)
        config.ledger.differ(config.arguments[name].found, "MM224", note, config.place)
    else:
        config.exact(name, "weights of the assistant's tokens, by the template's marks")
    return True


def _cut(config: ConfigPlan, trainer: dict[str, Argument], facts: Facts) -> str:
    """Return the slice that truncates, or "" where nothing is cut."""
    given = trainer.get("max_seq_length") or config.arguments.get("max_seq_length")
    mode = "keep_start"
    if config.has("truncation_mode"):
        mode = str(config.literal("truncation_mode"))
    if given is not None and given.value.literal != "None":
        config.put("max_length", given.value.text, like=given.keyword)
        length = "config.max_length"
        if "max_seq_length" in config.open and facts["max_seq_length_none"] != "no_cut":
            length = f"config.max_length or {_unset_length(facts)}"
    elif given is None and config.has("max_length"):
        if config.arguments["max_length"].value.literal == "None":
            return ""
        length = "config.max_length"
    elif given is not None and facts["max_seq_length_none"] == "no_cut":
        return ""
    else:
        length = _default_length(config, facts)
    if mode == "keep_end":
        return f"[-({length}) :]" if " " in length else f"[-{length} :]"
    return f"[: {length}]"


def _unset_length(facts: Facts) -> str:
    """Return the length where the option for it is None, as an expression."""
    rule = str(facts["default_max_length"])
    limits = {
        "tokenizer_limit": "tokenizer.model_max_length",
        "tokenizer_limit_up_to_1024": "min(1024, tokenizer.model_max_length)",
    }
    return limits.get(rule, rule)


def _default_length(config: ConfigPlan, facts: Facts) -> str:
    """Return the release's default length as an expression of the loop."""
    rule = str(facts["default_max_length"])
    if rule == "tokenizer_limit":
        return "tokenizer.model_max_length"
    if rule == "tokenizer_limit_up_to_1024":
        config.need("max_length", "1024")
        return "min(config.max_length, tokenizer.model_max_length)"
    config.need("max_length", rule)
    return "config.max_length"


def _is_batched(ledger: Ledger, trainer: dict[str, Argument], facts: Facts) -> bool:
    """Say whether the formatting function takes a batch and returns a list."""
    function = _function(ledger, trainer["formatting_func"])
    if function is not None and facts["formatting_func"] != "batch":
        return function.returns_list and facts["formatting_func"] == "both"
    return facts["formatting_func"] == "batch"


def _function(ledger: Ledger, argument: Argument) -> FunctionFact | None:
    return next((item for item in ledger.facts.functions if item.name == argument.value.name), None)


def _decide_fields(config: ConfigPlan, data: DataScript) -> None:
    config.exact("max_seq_length", "config.max_length")
    config.exact("dataset_text_field", "tokenize_row()")
    config.exact("truncation_mode", "tokenize_row()")
    if config.has("completion_only_loss"):
        config.exact(
            "completion_only_loss",
            "weights of the completion only" if data.completion_only else "weights of all tokens",
        )
        if config.literal("completion_only_loss") is True and data.format in {"text", "messages"}:
            raise Blocked(
                "MM501",
                "`completion_only_loss=True` needs prompt and completion columns, which the "
                "script does not show",
                config.arguments["completion_only_loss"].found,
            )


def decide_formatting(ledger: Ledger, argument: Argument, batched: bool) -> None:
    """Decide `formatting_func`: kept, in the contract it was written for."""
    row = ledger.tables.row("trl.SFTTrainer.formatting_func")
    if batched:
        ledger.decide(
            argument.found,
            Fidelity.APPROXIMATE,
            row=row,
            code="MM502",
            target=f"tokenize_row({argument.value.text}(batch))",
            note="called once with the whole data set instead of once for every 1000 rows",
        )
    else:
        ledger.exact(argument.found, row, f"tokenize_row({argument.value.text}(row))")

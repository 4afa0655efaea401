"""Rule: how a row with a prompt and two answers becomes two sequences.

What the release does where no option says so: `mappings/trl/dpo_semantics.yaml`.
"""

from __future__ import annotations

import re

from mint_migrate.model.dpo_script import PairRows
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.trl.config import ConfigPlan
from mint_migrate.rules.trl.dpo.loss import Facts
from mint_migrate.rules.trl.dpo.options import is_given, literal, need
from mint_migrate.rules.trl.state import TrainerPlan

STREAMING = re.compile(r"\bstreaming\s*=\s*True\b")
CODE = "MM236"


def plan_rows(plan: TrainerPlan, facts: Facts) -> PairRows:
    """Decide how rows are tokenized and cut.

    Raises:
        Blocked: rows are not pairs of texts or conversations.
    """
    ledger, config = plan.ledger, plan.config
    text = ledger.facts.text
    if STREAMING.search(text):
        raise Blocked(
            "MM503", "the data set is streamed; the loop needs its length, so load it whole"
        )
    columns = set(ledger.facts.produced_columns)
    if {"images", "image"} & columns:
        raise Blocked("MM507", "pairs with images are not converted", plan.trainer.found)
    tokenization = str(facts["dpo_tokenization"])
    mode = str(literal(plan, "truncation_mode") or "keep_end")
    config.exact("truncation_mode", f"{plan.names['tokenize']}()")
    if facts["dpo_loses_last_token"]:
        _say_lost(plan)
    cut, length = _cut(plan, facts, mode)
    prompt, answer = _cut_parts(plan, tokenization, mode)
    return PairRows(
        tokenization=tokenization,
        prompt=_prompt(columns, tokenization),
        older_prompt=tokenization == "separate",
        eos=str(facts["dpo_eos"]),
        chat_eos=bool(facts["dpo_chat_eos"]),
        bos=str(facts["dpo_bos"]),
        keeps_merged=facts["dpo_merged_token"] != "dropped",
        continues=bool(facts["dpo_continues_prompt"]),
        tools=_tools(config, tokenization),
        template_options="chat_template_kwargs" in text and tokenization != "separate",
        cut=cut,
        cut_prompt=prompt,
        cut_answer=answer,
        length=length,
        drops_cut=bool(facts["dpo_drops_cut"]) and mode == "keep_start" and bool(cut),
    )


def _say_lost(plan: TrainerPlan) -> None:
    note = (
        "this release left out the last token of the longest row of a micro-batch whose longest "
        "prompt and longest answer belong to different rows; the result keeps it"
    )
    plan.ledger.notices.append(f"{CODE}: {note}")
    plan.ledger.differ(plan.trainer.found, CODE, note)


def _prompt(columns: set[str], tokenization: str) -> str:
    """Say where the script's rows have their prompt, as far as the code shows."""
    if tokenization == "text":
        return "explicit"
    if not {"chosen", "rejected"} <= columns:
        return "any"
    return "explicit" if "prompt" in columns else "implicit"


def _cut(plan: TrainerPlan, facts: Facts, mode: str) -> tuple[str, str]:
    """Return the slice that cuts a sequence and the length at which older releases cut."""
    config = plan.config
    if facts["dpo_truncation"] == "prompt_then_answer":
        return "", _length_or(plan, "max_length", "512")
    if literal_or_given(plan, "max_length") is None:
        config.exact("max_length", "no truncation")
        return "", ""
    length = need(plan, "max_length")
    if facts["dpo_truncation"] == "keep_start":
        mode = "keep_start"
    if facts["dpo_truncation"] == "padded_batch" and mode == "keep_end":
        _say_padded(plan)
    return (f"[-{length} :]" if mode == "keep_end" else f"[: {length}]"), ""


def literal_or_given(plan: TrainerPlan, name: str) -> object:
    """Return the literal of an option, its text where it is an expression, None where unset."""
    if plan.config.is_dynamic(name):
        return plan.config.text(name)
    return literal(plan, name)


def _say_padded(plan: TrainerPlan) -> None:
    note = (
        "this release cut the start of a batch as it was padded, which takes more from rows "
        "shorter than its longest; the result keeps the last `max_length` tokens of each row"
    )
    config = plan.config
    if not config.has("max_length"):
        plan.ledger.notices.append(f"{CODE}: {note}")
        return
    argument = config.arguments["max_length"]
    plan.ledger.decisions.pop(argument.found, None)
    config.decide("max_length", Fidelity.APPROXIMATE, CODE, "config.max_length", note)
    plan.ledger.differ(argument.found, CODE, note, config.place)


def _length_or(plan: TrainerPlan, name: str, default: str) -> str:
    """Return an option as the loop reads it, with the value the release puts for None."""
    config = plan.config
    if is_given(plan, name):
        return need(plan, name)
    config.need(name, default)
    config.exact(name, f"config.{name}")
    return f"config.{name}"


def _cut_parts(plan: TrainerPlan, tokenization: str, mode: str) -> tuple[str, str]:
    """Return the slices that cut prompts and answers."""
    config = plan.config
    if tokenization == "text":
        length = _length_or(plan, "max_prompt_length", "128")
        config.exact("max_completion_length", "nothing to do", "only used with encoders")
        return (f"[-{length} :]" if mode == "keep_end" else f"[: {length}]"), ""
    if tokenization != "separate":
        return "", ""
    prompt = answer = ""
    if literal_or_given(plan, "max_prompt_length") is not None:
        prompt = f"[-{need(plan, 'max_prompt_length')} :]"
    if literal_or_given(plan, "max_completion_length") is not None:
        answer = f"[: {need(plan, 'max_completion_length')}]"
    config.exact("max_prompt_length", f"{plan.names['tokenize']}()")
    config.exact("max_completion_length", f"{plan.names['tokenize']}()")
    return prompt, answer


def _tools(config: ConfigPlan, tokenization: str) -> str:
    if tokenization != "separate":
        return 'row.get("tools")'
    text = config.text("tools")
    if text is None or text == "None":
        config.exact("tools", "nothing to do")
        return ""
    config.put("tools", text)
    config.exact("tools", "config.tools")
    return "config.tools"

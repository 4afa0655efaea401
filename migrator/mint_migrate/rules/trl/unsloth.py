"""Rule: the loaders of unsloth, which return model and tokenizer together and hold LoRA options.

Defaults: unsloth 2025.10.12, `FastLanguageModel.get_peft_model` in `models/llama.py`.
"""

from __future__ import annotations

import ast

from mint_migrate.model.facts import Argument, Call
from mint_migrate.model.plan import Fidelity
from mint_migrate.rules.base import Blocked, Ledger, argument_named, positional_argument
from mint_migrate.rules.trl.model_plan import ModelPlan

PACKAGE = "unsloth."
QUANTIZED = ("-unsloth-bnb-4bit", "-bnb-4bit")
"""Endings of the names of copies with four bits, which stand beside the whole models."""
LORA_DEFAULTS = {"r": "16", "lora_alpha": "16"}
"""All seven projections are trained where no targets are given."""


def is_loader(qualified: str) -> bool:
    """Say whether calling this name loads a model and its tokenizer."""
    owner, _, method = qualified.rpartition(".")
    return owner.startswith(PACKAGE) and method == "from_pretrained"


def is_wrapper(qualified: str) -> bool:
    """Say whether calling this name adds an adapter to a model of unsloth."""
    return qualified.startswith(PACKAGE) and qualified.endswith(".get_peft_model")


def follow_loader(ledger: Ledger, plan: ModelPlan, call: Call) -> None:
    """Leave the model's name, and its tokenizer where the script keeps one.

    Raises:
        Blocked: the name cannot be seen, or the model is not a language model.
    """
    argument = name_argument(call)
    plan.base_model = whole_model(ledger, argument)
    plan.loads += [(name, call.scope, call.statement) for name in argument.value.loads]
    plan.max_length = argument_named(call, "max_seq_length")
    row = ledger.tables.row(call.qualified)
    if len(call.targets) == 2:
        ledger.replace_statement(
            call.statement,
            f"{call.targets[1]} = AutoTokenizer.from_pretrained({plan.base_model})",
        )
        plan.imports.add("from transformers import AutoTokenizer")
        ledger.exact(call.found, row, "AutoTokenizer.from_pretrained(...)")
    else:
        raise Blocked("MM240", "model and tokenizer are not unpacked into two names", call.found)


def name_argument(call: Call) -> Argument:
    """Return the argument that names the model.

    Raises:
        Blocked: it cannot be seen, or the model is not a language model.
    """
    if "Vision" in call.qualified:
        raise Blocked("MM201", "models of images are not converted", call.found)
    argument = argument_named(call, "model_name") or positional_argument(call, 0)
    if argument is None or argument.star:
        raise Blocked("MM230", "the model's name is not among the arguments", call.found)
    return argument


def whole_model(ledger: Ledger, argument: Argument) -> str:
    """Return the model's name; a copy with four bits is replaced by what it was made from."""
    row = ledger.tables.row("unsloth.FastLanguageModel.from_pretrained.model_name")
    target = "create_lora_training_client(base_model=...)"
    value = ast.literal_eval(argument.value.literal) if argument.value.literal else None
    name = value if isinstance(value, str) else ""
    ending = next((item for item in QUANTIZED if name.endswith(item)), None)
    if ending is None or ledger.options.base_model is not None:
        ledger.exact(argument.found, row, target)
        return argument.value.text
    whole = name.removesuffix(ending)
    note = f"`{name}` holds its weights in four bits; `{whole}` is the whole model"
    ledger.decide(
        argument.found, Fidelity.APPROXIMATE, row=row, code="MM240", target=target, note=note
    )
    ledger.differ(argument.found, "MM240", note)
    return f'"{whole}"'


def lora_arguments(call: Call) -> dict[str, Argument]:
    """Return the LoRA options of `get_peft_model`, by name.

    Raises:
        Blocked: they are hidden behind `*` or `**`, or given by position.
    """
    arguments: dict[str, Argument] = {}
    for argument in call.arguments:
        if argument.index == 0 or argument.keyword == "model":
            continue
        if argument.star or argument.keyword is None:
            raise Blocked(
                "MM291",
                f"`{argument.found.source_text}` hides LoRA options; write them out as keywords",
                argument.found,
            )
        arguments[argument.keyword] = argument
    return arguments

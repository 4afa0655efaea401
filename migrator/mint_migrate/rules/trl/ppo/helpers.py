"""Rule: TRL's small helpers around a PPO loop, each a line of plain Python."""

from __future__ import annotations

from mint_migrate.model.facts import Call
from mint_migrate.rules.base import Ledger


def plan_helpers(ledger: Ledger, trainer: Call) -> frozenset[str]:
    """Replace what the script uses of `trl.core`; return the imports the replacements need."""
    needed: set[str] = set()
    for call in ledger.facts.calls:
        if call.found in ledger.decisions:
            continue
        last = call.qualified.rsplit(".", 1)[-1]
        if not call.qualified.startswith("trl."):
            continue
        if last == "LengthSampler" and len(call.arguments) == 2:
            _length_sampler(ledger, call)
            needed |= {"import numpy as np", "from functools import partial"}
        elif last == "set_seed" and len(call.arguments) == 1:
            _seed(ledger, call)
            needed |= {"import random", "import numpy as np", "import torch"}
        elif _answers(call, trainer):
            _respond(ledger, call, trainer)
    return frozenset(needed)


def answers_batches(ledger: Ledger, trainer: Call) -> bool:
    """Say whether the script answers queries with `respond_to_batch`."""
    return any(_answers(call, trainer) for call in ledger.facts.calls)


def _answers(call: Call, trainer: Call) -> bool:
    return call.qualified.endswith(".respond_to_batch") and trainer.statement < call.statement


def _decide(ledger: Ledger, call: Call, target: str) -> None:
    ledger.exact(call.found, ledger.tables.row(call.qualified), target)
    for argument in call.arguments:
        ledger.exact(argument.found, None, target)


def _length_sampler(ledger: Ledger, call: Call) -> None:
    """A length from the range, the end excluded, drawn from numpy's global generator."""
    named = {
        item.keyword or ("min_value", "max_value")[item.index]: item for item in call.arguments
    }
    low, high = named["min_value"].value.text, named["max_value"].value.text
    _decide(ledger, call, "partial(np.random.choice, ...)")
    ledger.replace_expression(call.found.span, f"partial(np.random.choice, range({low}, {high}))")


def _seed(ledger: Ledger, call: Call) -> None:
    if not call.is_statement or call.target is not None:
        return
    seed = call.arguments[0].value.text
    _decide(ledger, call, "random.seed(), np.random.seed(), torch.manual_seed()")
    ledger.replace_statement(
        call.statement, f"random.seed({seed})\nnp.random.seed({seed})\ntorch.manual_seed({seed})"
    )


def _respond(ledger: Ledger, call: Call, trainer: Call) -> None:
    """A batch of queries answered with `txt_len` tokens each, whatever end token comes up."""
    named = {
        item.keyword or ("model", "queries", "txt_len", "top_k", "top_p")[item.index]: item
        for item in call.arguments
    }
    if "queries" not in named:
        return
    length = named["txt_len"].value.text if "txt_len" in named else "20"
    options = [f"max_new_tokens={length}", "do_sample=True"]
    options.append(f"top_k={named['top_k'].value.text if 'top_k' in named else '0'}")
    if "top_p" in named:
        options.append(f"top_p={named['top_p'].value.text}")
    options += ["return_prompt=False", "eos_token_id=-1"]
    text = (
        f"torch.cat([{trainer.target}.generate(query, {', '.join(options)}) "
        f"for query in {named['queries'].value.text}])"
    )
    _decide(ledger, call, f"{trainer.target}.generate()")
    if call.is_statement and call.target is not None:
        ledger.replace_statement(call.statement, f"{call.target} = {text}")
    else:
        ledger.replace_expression(call.found.span, text)

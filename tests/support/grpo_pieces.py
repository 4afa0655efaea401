"""Run the functions of a converted script that samples on numbers, without a server."""

from __future__ import annotations

import ast
import itertools
import math
from types import SimpleNamespace
from typing import Any

import torch
from mint import types
from mint_runtime.losses import LOSSES, LossInputs, resolve_config


def functions(text: str) -> dict[str, Any]:
    """Return what a converted script defines: its functions, and its configuration as `config`."""
    wanted = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.Assign) and "SimpleNamespace(" in ast.unparse(node.value)[:16])
    ]
    for node in wanted:
        if isinstance(node, ast.FunctionDef):
            node.returns = None
    space: dict[str, Any] = {
        "itertools": itertools,
        "math": math,
        "torch": torch,
        "types": types,
        "SimpleNamespace": SimpleNamespace,
    }
    exec(compile(ast.Module(body=wanted, type_ignores=[]), "<pieces>", "exec"), space)
    return space


def builtin_loss(
    name: str, data: list[types.Datum], logprobs: list[torch.Tensor], config: dict[str, float]
) -> torch.Tensor:
    """Return the sum of a loss of the server over *data*, whose log-probabilities are given."""
    values = {
        key: torch.cat([torch.tensor(datum.loss_fn_inputs[key].tolist()) for datum in data])
        for key in data[0].loss_fn_inputs
        if key != "target_tokens"
    }
    numbers = [torch.full((len(one),), i) for i, one in enumerate(logprobs)]
    inputs = LossInputs(
        logp_NK=torch.cat(logprobs)[:, None],
        values={key: value.float()[:, None] for key, value in values.items()},
        datum_N=torch.cat(numbers),
        num_datums=len(data),
    )
    loss = LOSSES[name]
    return loss.function(inputs, resolve_config(loss, config)).loss_NK.sum()


def called(text: str, name: str) -> ast.Call:
    """Return the first call of a method or function in a script."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
            return node
    raise AssertionError(f"{name} is never called")

"""A client whose model is a table, for scripts that are compared step by step with their originals.

The log-probability of a token depends on nothing but the token before it, as in
`environments/openrlhf_rows.py`, so the gradient of a step says of each pair of neighbors what it
counted. Losses are the runtime's. No step moves the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from mint import types
from transformers import AutoTokenizer

from support.verl_math import builtin_loss

ROWS = 97


def table(seed: int, vocabulary: int) -> torch.Tensor:
    """Return the logits of a model, `[rows, vocabulary]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, vocabulary, generator=generator)


@dataclass(frozen=True, slots=True)
class Done:
    """A future that has its result."""

    value: Any

    def result(self) -> Any:
        """Return it."""
        return self.value


@dataclass(slots=True)
class TableClient:
    """A service, and the training client that it makes."""

    folder: str
    """Of the tokenizer."""
    vocabulary: int
    gradients: list[np.ndarray] = field(default_factory=list)
    """Of each optimizer step, `[rows, vocabulary]`."""
    adam: list[types.AdamParams] = field(default_factory=list)
    weight: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Make the table of the policy."""
        self.weight = table(1, self.vocabulary).requires_grad_()

    def create_lora_training_client(self, **options: Any) -> TableClient:
        """Return this."""
        return self

    def create_sampling_client(self, **options: Any) -> SimpleNamespace:
        """Return the reference."""
        reference = table(2, self.vocabulary)

        def compute_logprobs(prompt: types.ModelInput) -> Done:
            tokens = prompt.to_ints()
            return Done([None, *logprobs_of(reference, tokens[:-1], tokens[1:]).tolist()])

        return SimpleNamespace(compute_logprobs=compute_logprobs)

    def get_tokenizer(self) -> Any:
        """Return a tokenizer of its own."""
        return AutoTokenizer.from_pretrained(self.folder)

    def forward(self, data: list[types.Datum], loss_fn: str) -> Done:
        """Return the loss and the log-probabilities of each datum."""
        with torch.no_grad():
            leaves = self._logprobs(data)
            loss = builtin_loss(loss_fn, data, leaves, {})
        return Done(_output(leaves, {"loss:sum": loss.item()}))

    def forward_backward(self, data: list[types.Datum], loss_fn: str) -> Done:
        """Add the gradient of a loss of the runtime."""
        leaves = self._logprobs(data)
        loss = builtin_loss(loss_fn, data, leaves, {})
        loss.backward()
        return Done(_output(leaves, {"loss:sum": loss.item()}))

    def forward_backward_custom(
        self, data: list[types.Datum], loss_fn: Callable[..., tuple[torch.Tensor, dict[str, float]]]
    ) -> Done:
        """Add the gradient of a loss of the script."""
        leaves = self._logprobs(data)
        loss, figures = loss_fn(data, leaves)
        loss.backward()
        return Done(_output(leaves, figures))

    def optim_step(self, adam: types.AdamParams) -> Done:
        """Record a step."""
        assert self.weight.grad is not None
        self.gradients.append(self.weight.grad.numpy())
        self.weight.grad = None
        self.adam.append(adam)
        return Done(SimpleNamespace(metrics={}))

    def save_state(self, name: str) -> Done:
        """Return a path."""
        return Done(SimpleNamespace(path=f"tinker://{name}"))

    def _logprobs(self, data: list[types.Datum]) -> list[torch.Tensor]:
        return [
            logprobs_of(
                self.weight,
                datum.model_input.to_ints(),
                datum.loss_fn_inputs["target_tokens"].tolist(),
            )
            for datum in data
        ]


def logprobs_of(weight: torch.Tensor, tokens: list[int], targets: list[int]) -> torch.Tensor:
    """Return the log-probability of each target behind its token."""
    logits = weight[torch.tensor(tokens, dtype=torch.long) % ROWS]
    chosen = torch.tensor(targets, dtype=torch.long)[:, None]
    return torch.log_softmax(logits, -1).gather(-1, chosen)[:, 0]


def _output(leaves: list[torch.Tensor], metrics: dict[str, float]) -> SimpleNamespace:
    outputs = [{"logprobs": leaf.detach()} for leaf in leaves]
    return SimpleNamespace(metrics=metrics, loss_fn_outputs=outputs)


@contextmanager
def served(text: str, client: TableClient) -> Iterator[dict[str, Any]]:
    """Yield what a converted script defines, with a client instead of the service."""
    module = ModuleType("converted")
    exec(compile(text, "<converted>", "exec", dont_inherit=True), module.__dict__)
    module.__dict__["mint"] = SimpleNamespace(
        ServiceClient=lambda: client, TrainingClient=TableClient, types=types
    )
    yield module.__dict__


def records(folder: Path) -> list[dict[str, Any]]:
    """Return what a script has written of its steps and evaluations."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]

"""Small scripts that distill, and a model of four tokens whose every answer can be listed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from mint_migrate.model.outcome import Migrated
from torch import Tensor

from support.scripts import migrated

GKD = """
from datasets import load_dataset
from transformers import AutoTokenizer
from trl.experimental.gkd import GKDConfig, GKDTrainer

args = GKDConfig(output_dir="out", save_strategy="no", {config})
trainer = GKDTrainer(
    model="Qwen/Qwen3-0.6B",
    teacher_model="Qwen/Qwen3-1.7B",
    args=args,
    processing_class=AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B"),
    train_dataset=load_dataset("trl-lib/chatbot_arena_completions", split="train"),
    {trainer}
)
trainer.train()
"""
PROMPTS = """
from datasets import load_dataset
{imports}

trainer = {kind}Trainer(
    model="Qwen/Qwen3-0.6B",
    teacher_model="Qwen/Qwen3-1.7B",
    args={kind}Config(output_dir="out", save_strategy="no", {config}),
    train_dataset=load_dataset("trl-lib/tldr", split="train"),
    {trainer}
)
trainer.train()
"""
NUM_TOKENS = 4
END = 0
"""The token that ends an answer."""
START = NUM_TOKENS
"""The row of a table for the first token of an answer."""
LONGEST = 3


def gkd(
    config: str = "beta=1, lmbda=1",
    *,
    trainer: str = "",
    version: str = "1.16.0",
    **options: object,
) -> Migrated:
    """Migrate a small script with a `GKDTrainer`."""
    text = GKD.format(config=config, trainer=trainer)
    return migrated(text, source_version=version, **options)


def distillation(
    config: str = "", *, trainer: str = "", version: str = "1.16.0", **options: object
) -> Migrated:
    """Migrate a small script with a `DistillationTrainer`."""
    imports = "from trl import DistillationConfig, DistillationTrainer"
    text = PROMPTS.format(kind="Distillation", imports=imports, config=config, trainer=trainer)
    return migrated(text, source_version=version, **options)


def minillm(
    config: str = "", *, trainer: str = "", version: str = "1.14.0", **options: object
) -> Migrated:
    """Migrate a small script with a `MiniLLMTrainer`."""
    imports = "from trl.experimental.minillm import MiniLLMConfig, MiniLLMTrainer"
    text = PROMPTS.format(kind="MiniLLM", imports=imports, config=config, trainer=trainer)
    return migrated(text, source_version=version, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer that may be drawn."""

    tokens: list[int]
    states: list[int]
    """The row of the table that each token is drawn from: the token before it."""


def table(seed: int) -> Tensor:
    """Return the logits of a model that looks at the last token only, `[tokens + 1, tokens]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(NUM_TOKENS + 1, NUM_TOKENS, generator=generator, dtype=torch.float64)


def answers(*, ends: bool) -> Iterator[Answer]:
    """Yield every answer: all of the greatest length, or of any, with the end token at the end."""
    for length in range(1, LONGEST + 1):
        for tokens in itertools.product(range(NUM_TOKENS), repeat=length):
            is_whole = length == LONGEST or (ends and tokens[-1] == END)
            if not is_whole or (ends and END in tokens[:-1]):
                continue
            yield Answer(tokens=list(tokens), states=[START, *tokens[:-1]])


def logprobs_of(logits: Tensor, answer: Answer, temperature: float = 1.0) -> Tensor:
    """Return the log-probability of each token of an answer."""
    rows = (logits[answer.states] / temperature).log_softmax(dim=1)
    return rows.gather(1, torch.tensor(answer.tokens)[:, None])[:, 0]


def sample_of(
    answer: Answer, student: Tensor, teacher: Tensor, temperature: float = 1.0
) -> SimpleNamespace:
    """Return an answer as the functions of a converted script know it, after a prompt of one token.

    `logprobs` are those at which it was drawn, `own` those of the student at temperature 1.
    """
    return SimpleNamespace(
        prompt=[START],
        tokens=answer.tokens,
        logprobs=logprobs_of(student, answer, temperature).tolist(),
        own=logprobs_of(student, answer).tolist(),
        teacher=logprobs_of(teacher, answer).tolist(),
    )

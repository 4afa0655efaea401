"""Converted distillations have the gradient of TRL's divergence, averaged over what may be drawn.

TRL sums over the vocabulary at every place of a drawn answer, and does not differentiate through
the drawing. A conversion takes the drawn token of each place instead, without a term for what comes
after it. On a model of four tokens every answer can be listed: the mean of the emitted gradient,
weighed by how likely each answer is, equals the mean of TRL's. That of one drawn answer does not.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mint_runtime.tiny_model import build_tiny_model
from support.distillation import (
    NUM_TOKENS,
    Answer,
    answers,
    distillation,
    gkd,
    logprobs_of,
    minillm,
    sample_of,
    table,
)
from support.grpo_pieces import builtin_loss, functions
from support.scripts import converted
from torch import Tensor
from transformers import AutoTokenizer
from trl.trainer.distillation_trainer import _chunked_divergence_loss

with pytest.MonkeyPatch.context() as patch:
    # The trainers of `trl.experimental` warn that they may change.
    patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.gkd import GKDTrainer
    from trl.experimental.utils import DataCollatorForChatML

pytestmark = [pytest.mark.parity]

STUDENT, TEACHER = table(1), table(2)
CLOSE = {"rtol": 1e-5, "atol": 1e-7}
"""The datums of the client hold float32."""
GIVEN_LENGTH = 5
"""Tokens of the answer that the data set gives."""
Loss = Callable[[Tensor, Answer], Tensor]


def mean_gradient(loss: Loss, *, ends: bool, temperature: float = 1.0) -> Tensor:
    """Return the derivative of a loss by the student's table, averaged over all answers."""
    total = torch.zeros_like(STUDENT)
    for answer in answers(ends=ends):
        chance = logprobs_of(STUDENT, answer, temperature).sum().exp()
        total += chance * gradient(loss, answer)
    return total


def gradient(loss: Loss, answer: Answer) -> Tensor:
    """Return the derivative of the loss of one answer."""
    logits = STUDENT.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(logits, answer), logits)
    return found


def emitted(
    text: str, make: Callable[[dict[str, Any], list[Any]], Any], temperature: float
) -> Loss:
    """Return the loss of a converted script: its datums in the server's own loss."""
    space = functions(text)

    def loss(logits: Tensor, answer: Answer) -> Tensor:
        sample = sample_of(answer, STUDENT, TEACHER, temperature)
        data = make(space, [sample])
        return builtin_loss("importance_sampling", data, [logprobs_of(logits, answer)], {})

    return loss


def gkd_loss(logits: Tensor, answer: Answer) -> Tensor:
    """Return TRL's loss of a batch with one answer."""
    return GKDTrainer.generalized_jsd_loss(
        logits[answer.states][None],
        TEACHER[answer.states][None],
        labels=torch.tensor(answer.tokens)[None],
        beta=1.0,
        num_items_in_batch=GIVEN_LENGTH,
    )


def distillation_loss(logits: Tensor, answer: Answer) -> Tensor:
    """Return TRL's loss of a step with one answer, of whose hidden states the logits are made."""
    head = torch.eye(NUM_TOKENS, dtype=torch.float32)
    loss, _, _ = _chunked_divergence_loss(
        logits[answer.states][None].float(),
        TEACHER[answer.states][None].float(),
        head,
        head,
        torch.ones(1, len(answer.tokens)),
        beta=1.0,
        num_items_in_batch=torch.tensor(len(answer.tokens)),
    )
    return loss


def by_answers(space: dict[str, Any], samples: list[Any]) -> Any:
    return space["build_batch"](samples, 1.0 / GIVEN_LENGTH)


def by_tokens(space: dict[str, Any], samples: list[Any]) -> Any:
    return space["build_batch"](samples, 1.0 / sum(len(sample.tokens) for sample in samples))


@pytest.mark.parametrize("temperature", [1.0, 0.9, 1.7])
@pytest.mark.parametrize("ends", [False, True], ids=["of one length", "that end"])
def test_gkd_has_the_gradient_of_trl_on_average_at_any_temperature_of_the_samples(
    temperature, ends
):
    text = converted(gkd(f"beta=1.0, lmbda=1.0, temperature={temperature}"))
    ours = emitted(text, by_answers, temperature)
    torch.testing.assert_close(
        mean_gradient(ours, ends=ends, temperature=temperature),
        mean_gradient(gkd_loss, ends=ends, temperature=temperature),
        **CLOSE,
    )


def test_distillation_has_the_gradient_of_trl_on_average():
    ours = emitted(converted(distillation()), by_tokens, 1.0)
    torch.testing.assert_close(
        mean_gradient(ours, ends=False), mean_gradient(distillation_loss, ends=False), **CLOSE
    )


def test_where_answers_end_only_the_divisor_of_distillation_depends_on_the_draw():
    ours = emitted(converted(distillation()), by_tokens, 1.0)

    def summed(loss: Loss) -> Loss:
        return lambda logits, answer: loss(logits, answer) * len(answer.tokens)

    torch.testing.assert_close(
        mean_gradient(summed(ours), ends=True),
        mean_gradient(summed(distillation_loss), ends=True),
        **CLOSE,
    )
    divided, theirs = mean_gradient(ours, ends=True), mean_gradient(distillation_loss, ends=True)
    assert not torch.allclose(divided, theirs, rtol=0.01)


def test_one_answer_has_another_gradient():
    ours = emitted(converted(distillation()), by_tokens, 1.0)
    answer = next(answers(ends=False))
    assert not torch.allclose(gradient(ours, answer), gradient(distillation_loss, answer), rtol=0.1)


def test_what_a_token_does_to_later_ones_counts_in_neither():
    """The derivative of the mean itself, with the chance of an answer, is another one."""

    def whole(logits: Tensor) -> Tensor:
        return sum(
            logprobs_of(logits, answer).sum().exp() * gkd_loss(logits, answer)
            for answer in answers(ends=False)
        )

    logits = STUDENT.clone().requires_grad_()
    (through,) = torch.autograd.grad(whole(logits), logits)
    assert not torch.allclose(through, mean_gradient(gkd_loss, ends=False), rtol=0.1)


def minillm_loss(
    *, gamma: float, normalized: bool, advantage: bool = True, single: bool = False
) -> Loss:
    """Return the loss of MiniLLM of a step with one answer, as its paper and TRL 1.14 have it.

    The advantages keep their gradient; the ratio of the policy is 1.
    """

    def loss(logits: Tensor, answer: Answer) -> Tensor:
        new, rows = logprobs_of(logits, answer), logits[answer.states].log_softmax(dim=1)
        ratios = logprobs_of(TEACHER, answer) - new
        discounts = torch.tensor([gamma**t for t in range(len(new))], dtype=torch.float64)
        advantages = ratios
        if gamma > 0:
            advantages = torch.stack([(discounts * ratios)[t:].sum() for t in range(len(new))])
        if gamma > 0 and normalized:
            advantages /= torch.stack([discounts[t:].sum() for t in range(len(new))])
        total = torch.zeros((), dtype=torch.float64)
        if advantage:
            total = total - ((new - new.detach()).exp() * advantages).mean()
        if single:
            other = TEACHER[answer.states].log_softmax(dim=1)
            total = total + (rows.exp() * (rows - other)).sum(dim=1).mean()
        return total

    return loss


def first(space: dict[str, Any], samples: list[Any]) -> Any:
    """Return the datums of a step; what else the function returns is about the value."""
    made = space["build_batch"](samples, SimpleNamespace(**vars(space["config"])))
    return made[0] if isinstance(made, tuple) else made


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.95])
def test_minillm_without_sums_over_the_vocabulary_has_the_gradient_of_every_answer(
    gamma, normalized
):
    text = converted(
        minillm(
            f"gamma={gamma}, length_normalization={normalized}, single_step_decomposition=False"
        )
    )
    ours, theirs = emitted(text, first, 1.0), minillm_loss(gamma=gamma, normalized=normalized)
    for answer in answers(ends=True):
        torch.testing.assert_close(gradient(ours, answer), gradient(theirs, answer), **CLOSE)


@pytest.mark.parametrize("advantage", [True, False])
def test_the_single_step_divergence_of_minillm_has_its_gradient_on_average(advantage):
    ours = emitted(converted(minillm(f"rkl_advantage={advantage}")), first, 1.0)
    theirs = minillm_loss(gamma=0.0, normalized=True, advantage=advantage, single=True)
    torch.testing.assert_close(
        mean_gradient(ours, ends=False), mean_gradient(theirs, ends=False), **CLOSE
    )


def test_the_loss_that_minillm_shows_is_that_of_the_original():
    space = functions(converted(minillm("gamma=0.9, single_step_decomposition=False")))
    theirs = minillm_loss(gamma=0.9, normalized=True)
    for answer in answers(ends=True):
        sample = sample_of(answer, STUDENT, TEACHER)
        data, added = space["build_batch"]([sample], space["config"])
        value = builtin_loss("importance_sampling", data, [logprobs_of(STUDENT, answer)], {})
        torch.testing.assert_close(value - added, theirs(STUDENT, answer), **CLOSE)


@pytest.mark.parametrize("max_length", [60, 26])
def test_conversations_are_read_as_the_collator_of_gkd_reads_them(max_length, tmp_path):
    build_tiny_model(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [
        {"messages": [{"role": "user", "content": "q" * n}, {"role": "assistant", "content": text}]}
        for n, text in ((1, "aaa"), (4, "a" * 12), (7, "b"))
    ]
    space = functions(converted(gkd(f"beta=1, lmbda=1, max_length={max_length}")))
    read = [space["read_row"](row, tokenizer, space["args"]) for row in rows]
    batch = DataCollatorForChatML(tokenizer, max_length=max_length)(rows)
    shown = batch["prompt_attention_mask"].bool()
    prompts = [ids[mask].tolist() for ids, mask in zip(batch["prompts"], shown, strict=True)]
    assert [row.prompt for row in read] == prompts
    assert [row.answer_length for row in read] == (batch["labels"] != -100).sum(dim=1).tolist()


def test_a_teacher_with_other_tokens_is_refused_before_it_reads_any(tmp_path):
    build_tiny_model(tmp_path)
    check = functions(converted(distillation()))["check_teacher"]

    def client(*added: str) -> SimpleNamespace:
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
        tokenizer.add_tokens(list(added))
        return SimpleNamespace(get_tokenizer=lambda: tokenizer)

    student = client("<one>", "<two>").get_tokenizer()
    check(client("<one>"), student)
    check(client("<one>", "<two>", "<three>"), student)
    with pytest.raises(ValueError, match=r"2 tokens of the student .* such as '<(one|two)>'"):
        check(client("<two>", "<one>"), student)

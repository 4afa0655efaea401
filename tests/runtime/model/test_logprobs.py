"""Log-probabilities from hidden states, slice by slice."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.model.logprobs import target_logprobs, top_logprobs
from torch import Tensor, nn

VOCAB_SIZE = 50
# Two orders of summation in float32.
TOLERANCE = 1e-5


class RecordingHead(nn.Linear):
    """A linear layer that remembers the largest number of positions it saw at once."""

    def __init__(self) -> None:
        super().__init__(8, VOCAB_SIZE, bias=False)
        self.most_rows = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # the name torch gives it
        self.most_rows = max(self.most_rows, len(input))
        return super().forward(input)


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(11, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def head() -> RecordingHead:
    torch.manual_seed(1)
    return RecordingHead()


@pytest.fixture
def target() -> Tensor:
    return torch.randint(VOCAB_SIZE, (11, 3), generator=torch.Generator().manual_seed(2))


def logprobs(hidden: Tensor, head: nn.Module, target: Tensor, num_rows: int) -> Tensor:
    return target_logprobs(
        hidden, head, target, vocab_size=VOCAB_SIZE, max_slice_logits=num_rows * VOCAB_SIZE
    )


@pytest.mark.parametrize("num_rows", [1, 4, 11, 100])
def test_values_equal_log_softmax_whatever_the_slices(hidden, head, target, num_rows):
    expected = head(hidden).log_softmax(dim=1).gather(1, target)

    found = logprobs(hidden, head, target, num_rows)

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("num_rows", [1, 4, 100])
def test_gradients_equal_those_of_log_softmax_whatever_the_slices(hidden, head, target, num_rows):
    inputs = [hidden, head.weight]
    expected = torch.autograd.grad(
        head(hidden).log_softmax(dim=1).gather(1, target).square().sum(), inputs
    )

    found = torch.autograd.grad(logprobs(hidden, head, target, num_rows).square().sum(), inputs)

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=1e-4)


def test_no_more_logits_than_allowed_exist_at_once(hidden, head, target):
    torch.autograd.grad(logprobs(hidden, head, target, 4).sum(), head.weight)

    assert head.most_rows == 4


def test_logits_are_not_kept_for_the_backward_pass(hidden, head, target):
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor
    ):
        logprobs(hidden, head, target, 4)

    assert not [shape for shape in kept if shape[-1] == VOCAB_SIZE]


def test_no_positions_give_no_log_probabilities(head):
    found = logprobs(torch.zeros(0, 8), head, torch.zeros(0, 1, dtype=torch.int64), 4)

    assert found.shape == (0, 1)


def test_top_tokens_are_the_largest_of_log_softmax_best_first(hidden, head):
    expected = head(hidden).log_softmax(dim=1).sort(dim=1, descending=True)

    ids, values = top_logprobs(
        hidden, head, 3, vocab_size=VOCAB_SIZE, max_slice_logits=4 * VOCAB_SIZE
    )

    assert ids.tolist() == expected.indices[:, :3].tolist()
    torch.testing.assert_close(values, expected.values[:, :3], atol=TOLERANCE, rtol=0)

"""The losses in converted scripts equal those of TRL's trainers, on the same log-probabilities."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.pieces import pieces
from support.scripts import converted, migrated
from torch import Tensor

pytestmark = [pytest.mark.parity, pytest.mark.timeout(300)]

SCRIPT = """
from datasets import load_dataset
from trl.experimental.{package} import {name}Config, {name}Trainer

config = {name}Config(output_dir="o", {options})
trainer = {name}Trainer("Qwen/Qwen3-0.6B", config, train_dataset=load_dataset("acme/pairs"))
trainer.train()
"""
NUM_PAIRS = 5
TOLERANCE = 1e-5
"""Relative: float32 on both sides, terms added in another order."""
CPO_OPTIONS = {
    "sigmoid": {"loss_type": "sigmoid", "beta": 0.2, "cpo_alpha": 0.0},
    "smoothed": {"loss_type": "sigmoid", "label_smoothing": 0.2, "cpo_alpha": 0.0},
    "hinge": {"loss_type": "hinge", "beta": 0.05, "cpo_alpha": 0.0},
    "ipo": {"loss_type": "ipo", "beta": 0.3, "cpo_alpha": 0.0},
    "simpo": {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.7, "cpo_alpha": 0.0},
    "smoothed simpo": {"loss_type": "simpo", "label_smoothing": 0.1, "cpo_alpha": 0.0},
    "alphapo": {"loss_type": "alphapo", "alpha": 0.2, "simpo_gamma": 0.3, "beta": 1.5},
    "hinge of alphapo": {"loss_type": "hinge", "alpha": 0.02, "beta": 0.4, "cpo_alpha": 0.0},
}


def example() -> tuple[list[Any], list[tuple[Tensor, Tensor]]]:
    """Return pairs of answers of different lengths, and log-probabilities of their tokens."""
    generator = torch.Generator().manual_seed(3)

    def side(length: int, prompt: int) -> tuple[Any, Tensor]:
        mask = [0.0] * prompt + [1.0] * (length - prompt)
        logprobs = -3 * torch.rand(length, generator=generator)
        datum = SimpleNamespace(loss_fn_inputs={"weights": SimpleNamespace(data=mask)})
        return datum, logprobs.requires_grad_(True)

    rows, logprobs = [], []
    for number in range(NUM_PAIRS):
        (chosen, left), (rejected, right) = side(9 + number, 3), side(14 - number, 3)
        rows.append(SimpleNamespace(chosen=chosen, rejected=rejected))
        logprobs.append((left, right))
    return rows, logprobs


def emitted(package: str, options: dict[str, Any], loss: str) -> tuple[Any, Any]:
    """Return the loss function and the configuration of a converted script."""
    written = ", ".join(f"{name}={value!r}" for name, value in options.items())
    script = SCRIPT.format(package=package, name=package.upper(), options=written)
    space = pieces(converted(migrated(script)), loss, "completion_logprob")
    space |= {"torch": torch, "types": SimpleNamespace(Datum=object)}
    return space[loss], space["config"]


def totals(logprobs: list[tuple[Tensor, Tensor]], *, mean: bool) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of the answers, which start after three tokens."""
    sides = [[pair[side][3:] for pair in logprobs] for side in (0, 1)]
    chosen, rejected = (
        torch.stack([each.mean() if mean else each.sum() for each in side]) for side in sides
    )
    return chosen, rejected


def gradients(loss: Tensor, logprobs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the gradient of a loss in all log-probabilities, in one vector."""
    leaves = [each for pair in logprobs for each in pair]
    found = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
    return torch.cat(found)


@pytest.fixture(scope="module")
def trainers() -> dict[str, Any]:
    """Return TRL's own classes; importing them takes seconds, and warns unless told not to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.cpo import CPOConfig, CPOTrainer
        from trl.experimental.orpo import ORPOTrainer

    return {"cpo": CPOTrainer, "cpo config": CPOConfig, "orpo": ORPOTrainer}


# TRL's default sets an option that transformers renames.
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("case", CPO_OPTIONS)
def test_cpo_loss_and_its_gradient_are_those_of_trl(case: str, trainers: dict[str, Any]) -> None:
    options = CPO_OPTIONS[case]
    rows, logprobs = example()
    given = trainers["cpo config"](output_dir="o", bf16=False, use_cpu=True, **options)
    trainer = SimpleNamespace(accelerator=SimpleNamespace(device="cpu"))
    for name in ("alpha", "beta", "loss_type", "label_smoothing", "simpo_gamma"):
        setattr(trainer, name, getattr(given, name))
    chosen, rejected = totals(logprobs, mean=given.loss_type in {"ipo", "simpo"})
    losses, chosen_rewards, rejected_rewards = trainers["cpo"].cpo_loss(trainer, chosen, rejected)
    function, config = emitted("cpo", options, "preference_loss")
    loss, metrics = function(rows, logprobs, config)
    assert loss.item() == pytest.approx(losses.mean().item(), rel=TOLERANCE)
    torch.testing.assert_close(
        gradients(loss, logprobs), gradients(losses.mean(), logprobs), rtol=1e-4, atol=1e-7
    )
    assert metrics["rewards/chosen"] == pytest.approx(chosen_rewards.mean().item(), rel=TOLERANCE)
    assert metrics["rewards/margins"] == pytest.approx(
        (chosen_rewards - rejected_rewards).mean().item(), rel=1e-4
    )


def test_cpo_adds_the_likelihood_of_the_chosen_answers() -> None:
    rows, logprobs = example()
    plain, without = emitted("cpo", {"cpo_alpha": 0.0}, "preference_loss")
    added, config = emitted("cpo", {"cpo_alpha": 0.4}, "preference_loss")
    likelihood = -torch.cat([chosen[3:] for chosen, _ in logprobs]).mean().item()
    difference = added(rows, logprobs, config)[0] - plain(rows, logprobs, without)[0]
    assert difference.item() == pytest.approx(0.4 * likelihood, rel=TOLERANCE)


def test_orpo_loss_and_its_gradient_are_those_of_trl(trainers: dict[str, Any]) -> None:
    rows, logprobs = example()
    trainer = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device="cpu"))
    chosen, rejected = totals(logprobs, mean=True)
    losses, chosen_rewards, _, ratio, odds = trainers["orpo"].odds_ratio_loss(
        trainer, chosen, rejected
    )
    # The likelihood covers the prompts of the chosen sequences too.
    expected = -torch.cat([left for left, _ in logprobs]).mean() - losses.mean()
    function, config = emitted("orpo", {"beta": 0.3}, "orpo_loss")
    loss, metrics = function(rows, logprobs, config)
    assert loss.item() == pytest.approx(expected.item(), rel=TOLERANCE)
    torch.testing.assert_close(
        gradients(loss, logprobs), gradients(expected, logprobs), rtol=1e-4, atol=1e-7
    )
    assert metrics["log_odds_ratio"] == pytest.approx(ratio.item(), rel=TOLERANCE)
    assert metrics["log_odds_chosen"] == pytest.approx(odds.item(), rel=1e-4)
    assert metrics["rewards/chosen"] == pytest.approx(chosen_rewards.mean().item(), rel=TOLERANCE)

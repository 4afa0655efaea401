"""The losses and advantages of converted GRPO scripts equal those of TRL 1.16.

TRL's own `_compute_loss` and `_generate_and_score_completions` run on a tiny model's trainer; its
log-probabilities and rewards are replaced by given ones, so that both sides see the same numbers.
Compared are the loss and its gradient with respect to every log-probability, summed over the
micro-batches of a step.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from mint_runtime.tiny_model import build_tiny_model
from support.grpo_pieces import builtin_loss, called, functions
from support.scripts import converted, grpo
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

pytestmark = [
    pytest.mark.parity,
    pytest.mark.timeout(600),
    # TRL sets an option that transformers calls deprecated.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
]

LENGTHS = (5, 1, 9, 4, 7, 3, 2, 8)
PROMPT = [11, 12, 13]
LONGEST = 12
TOLERANCE = {"rtol": 1e-4, "atol": 1e-7}
"""Float32 sums in another order."""
KINDS = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo")
BOUNDS = "epsilon=0.1, epsilon_high=0.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Eight completions, padded as TRL pads them."""

    new: Tensor
    old: Tensor
    reference: Tensor
    mask: Tensor
    advantages: Tensor


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> GRPOTrainer:
    """Return a real trainer, whose settings each test changes."""
    folder = tmp_path_factory.mktemp("grpo")
    build_tiny_model(folder / "model")
    args = GRPOConfig(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=LONGEST,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )

    def one(completions: list[str], **kwargs: Any) -> list[float]:
        return [1.0] * len(completions)

    rows = Dataset.from_dict({"prompt": ["a"] * 8})
    made = GRPOTrainer(
        model=str(folder / "model"), reward_funcs=[one], args=args, train_dataset=rows
    )
    made.model.train()
    return made


def make_batch(*, reused: bool, truncated: bool = False) -> Batch:
    """Return random numbers; where samples are used once, the policy has not moved."""
    generator = torch.Generator().manual_seed(5)
    shape = (len(LENGTHS), max(LENGTHS))
    old = -3 * torch.rand(shape, generator=generator)
    moved = 0.3 * torch.randn(shape, generator=generator)
    mask = (torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]).int()
    if truncated:
        mask[[2, 5]] = 0
    return Batch(
        new=old + moved if reused else old.clone(),
        old=old,
        reference=old + 0.4 * torch.randn(shape, generator=generator),
        mask=mask,
        advantages=torch.randn(len(LENGTHS), generator=generator),
    )


def trl_loss(
    trainer: GRPOTrainer, batch: Batch, settings: dict[str, Any], accumulation: int, parts: int
) -> tuple[float, Tensor]:
    """Return loss and gradient of a step that is *accumulation* micro-batches of a larger round."""
    names = {"epsilon": "epsilon_low"}
    for name, value in settings.items():
        setattr(trainer.args, name, value)
        setattr(trainer, names.get(name, name), value)
    trainer.current_gradient_accumulation_steps = accumulation
    trainer.args.steps_per_generation = accumulation * parts
    new = batch.new.clone().requires_grad_()
    total = 0.0
    size = len(LENGTHS) // accumulation
    for first in range(0, len(LENGTHS), size):
        rows = slice(first, first + size)
        width = int(batch.mask.sum(1).max())
        inputs = {
            "prompt_ids": torch.tensor([PROMPT] * size),
            "prompt_mask": torch.ones(size, len(PROMPT), dtype=torch.int),
            "completion_ids": torch.full((size, width), 20),
            "completion_mask": batch.mask[rows, :width],
            "advantages": batch.advantages[rows],
            "num_items_in_batch": batch.mask.sum() * parts,
            "ref_per_token_logps": batch.reference[rows, :width],
        }
        if settings["num_iterations"] > 1 or parts > 1:
            inputs["old_per_token_logps"] = batch.old[rows, :width]
        answer = (new[rows, :width], torch.zeros(size, width), None)
        trainer._get_per_token_logps_and_entropies = lambda *_, answer=answer, **__: answer
        loss = trainer._compute_loss(trainer.model, inputs)
        loss.backward()
        total += loss.item()
    assert new.grad is not None
    return total, new.grad * batch.mask


def our_loss(text: str, batch: Batch) -> tuple[float, Tensor]:
    """Return loss and gradient of the converted script, by its own functions."""
    space = functions(text)
    samples, leaves = [], []
    for i, length in enumerate(LENGTHS):
        sample = SimpleNamespace(
            prompt=PROMPT,
            tokens=[20] * length,
            logprobs=batch.old[i, :length].tolist(),
            reference=batch.reference[i, :length].tolist(),
            mask=batch.mask[i, :length].tolist(),
            advantage=batch.advantages[i].item(),
        )
        samples.append(sample)
        prompt = torch.zeros(len(PROMPT) - 1)
        leaves.append(torch.cat([prompt, batch.new[i, :length]]).requires_grad_())
    extra = {"samples": samples, "config": space["config"], "batch": samples}
    # What the loop hands on: the tokens of a round over its parts.
    extra["num_tokens"] = int(batch.mask.sum())
    if "forward_backward_custom(" in text:
        made = space["policy_loss"](**_wanted(space["policy_loss"], extra))
        loss, metrics = made([], leaves)
        assert metrics["policy_loss"] == pytest.approx(loss.item())
    else:
        data = space["build_batch"](**_wanted(space["build_batch"], extra))
        call = called(text, "forward_backward")
        given = {item.arg: item.value for item in call.keywords}
        bounds = (
            eval(ast.unparse(given["loss_fn_config"]), space) if "loss_fn_config" in given else {}
        )
        loss = builtin_loss(ast.literal_eval(given["loss_fn"]), data, leaves, bounds)
    loss.backward()
    gradient = torch.zeros_like(batch.new)
    for i, (leaf, length) in enumerate(zip(leaves, LENGTHS, strict=True)):
        assert leaf.grad is not None
        gradient[i, :length] = leaf.grad[len(PROMPT) - 1 :]
    return loss.item(), gradient * batch.mask


def _wanted(function: Any, values: dict[str, Any]) -> dict[str, Any]:
    code = function.__code__
    return {name: values[name] for name in code.co_varnames[: code.co_argcount]}


def check(
    trainer: GRPOTrainer,
    options: str,
    *,
    truncated: bool = False,
    accumulation: int = 1,
    parts: int = 1,
) -> str:
    """Compare both sides under the options of a configuration; return the converted script."""
    defaults = {
        "loss_type": "dapo",
        "beta": 0.0,
        "epsilon": 0.2,
        "epsilon_high": 0.2,
        "delta": None,
        "num_iterations": 1,
        "importance_sampling_level": "token",
        "off_policy_mask_threshold": None,
        "use_bias_correction_kl": True,
        "sapo_temperature_pos": 1.0,
        "sapo_temperature_neg": 1.05,
    }
    call = ast.parse(f"dict({options})", mode="eval").body
    assert isinstance(call, ast.Call)
    given = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    settings = {**defaults, **given}
    extra = f", max_completion_length={LONGEST}"
    if truncated:
        extra += ", mask_truncated_completions=True"
    extra += f", per_device_train_batch_size={len(LENGTHS) // accumulation}"
    if accumulation > 1:
        extra += f", gradient_accumulation_steps={accumulation}"
    if parts > 1:
        extra += f", steps_per_generation={accumulation * parts}"
    text = converted(grpo(options + extra))
    reused = settings["num_iterations"] > 1 or parts > 1
    batch = make_batch(reused=reused, truncated=truncated)
    loss, gradient = trl_loss(trainer, batch, settings, accumulation, parts)
    ours, our_gradient = our_loss(text, batch)
    assert ours == pytest.approx(loss, rel=1e-4, abs=1e-6)
    torch.testing.assert_close(our_gradient, gradient, **TOLERANCE)
    assert gradient.abs().max() > 0
    return text


@pytest.mark.parametrize(
    ("kind", "beta", "level", "passes"),
    list(product(KINDS, (0.0, 0.04), ("token", "sequence"), (1, 2))),
)
def test_loss_and_gradient_equal_trl(
    trainer: GRPOTrainer, kind: str, beta: float, level: str, passes: int
) -> None:
    check(
        trainer,
        f'loss_type="{kind}", beta={beta}, importance_sampling_level="{level}", '
        f"num_iterations={passes}, {BOUNDS}",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_completions_that_were_cut_do_not_count(trainer: GRPOTrainer, kind: str) -> None:
    check(trainer, f'loss_type="{kind}", num_iterations=2, {BOUNDS}', truncated=True)


@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_are_joined_as_trl_joins_them(trainer: GRPOTrainer, kind: str) -> None:
    check(trainer, f'loss_type="{kind}", num_iterations=2, {BOUNDS}', accumulation=4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_a_round_is_divided_as_trl_divides_it(trainer: GRPOTrainer, kind: str) -> None:
    check(trainer, f'loss_type="{kind}", {BOUNDS}', parts=2)


@pytest.mark.parametrize(
    "options",
    [
        "delta=1.15",
        "off_policy_mask_threshold=0.05",
        "off_policy_mask_threshold=0.05, beta=0.1",
        "use_bias_correction_kl=False, beta=0.1",
        'delta=1.15, importance_sampling_level="sequence", beta=0.1',
    ],
)
def test_further_options_of_the_loss_equal_trl(trainer: GRPOTrainer, options: str) -> None:
    check(trainer, f"{options}, num_iterations=2, {BOUNDS}")


def test_a_first_use_of_samples_needs_no_loss_of_our_own(trainer: GRPOTrainer) -> None:
    text = check(trainer, 'loss_type="grpo", importance_sampling_level="sequence", epsilon=0.1')
    assert 'loss_fn="importance_sampling"' in text


REWARDS = {
    "all given": [[1.0, 0.0], [0.5, 2.0], [0.0, 1.0], [1.0, 0.0]] * 2,
    "one group alike": [[1.0, 1.0]] * 4 + [[0.0, 3.0], [1.0, 2.0], [5.0, 0.0], [0.5, 0.5]],
    "some missing": [[1.0, None], [None, 2.0], [0.0, 1.0], [1.0, 0.0]] * 2,
    "some without any": [[None, None], [0.5, 2.0], [0.0, 1.0], [None, 0.0]] * 2,
}


@pytest.mark.parametrize("rewards", list(REWARDS))
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_advantages_equal_trl(
    trainer: GRPOTrainer,
    monkeypatch: pytest.MonkeyPatch,
    rewards: str,
    scale: str,
    aggregation: str,
) -> None:
    values = [[float("nan") if one is None else one for one in row] for row in REWARDS[rewards]]
    given = torch.tensor(values)
    answer = ([PROMPT] * 8, [[20, 21]] * 8, None, ["x"] * 8, None, {}, None, [])
    monkeypatch.setattr(trainer, "_generate", lambda prompts: answer)
    monkeypatch.setattr(trainer, "_calculate_rewards", lambda *_: given)
    monkeypatch.setattr(trainer, "reward_funcs", [len, max])
    monkeypatch.setattr(trainer, "reward_func_names", ["len", "max"])
    monkeypatch.setattr(trainer, "reward_weights", torch.tensor([1.0, 0.5]))
    monkeypatch.setattr(trainer, "scale_rewards", scale)
    monkeypatch.setattr(trainer, "multi_objective_aggregation", aggregation)
    monkeypatch.setattr(trainer, "beta", 0.0)
    monkeypatch.setattr(trainer.args, "gradient_accumulation_steps", 1)
    monkeypatch.setattr(trainer.args, "steps_per_generation", 1)
    monkeypatch.setattr(trainer, "num_iterations", 1)
    theirs = trainer._generate_and_score_completions([{"prompt": "a"}] * 8)["advantages"]
    unseen = "[brevity, helper]" if "None" in str(REWARDS[rewards]) else "[brevity, brevity]"
    text = converted(
        grpo(
            f'scale_rewards="{scale}", multi_objective_aggregation="{aggregation}", '
            "reward_weights=[1.0, 0.5]",
            rewards=unseen,
        )
    )
    space = functions(text)
    ours = space["group_advantages"](given, space["config"])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)

"""Forward, backward and optimizer steps, against a plain PyTorch and peft implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mint_runtime.engine.commands import Datum, TrainStep
from mint_runtime.engine.models import TrainedModel
from mint_runtime.engine.training import add_gradient, optim_step
from mint_runtime.errors import UserError
from mint_runtime.model.peft_files import write_adapter
from peft import PeftModel
from support.tiny import (
    ADAM,
    VOCAB_SIZE,
    datum,
    gradient,
    optim,
    step,
    train_step,
    trained,
    worst_error,
)
from transformers import AutoModelForCausalLM

# Another order of the same float32 sums, as a share of a tensor's norm.
RTOL = 1e-5
# The same for log-probabilities, in nats.
ATOL = 1e-5
LENGTHS = (3, 40, 17, 40, 64, 1)
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
]


@pytest.fixture
def model(base) -> TrainedModel:
    return trained(base)


@pytest.fixture
def data() -> tuple[Datum, ...]:
    return tuple(datum(length, seed) for seed, length in enumerate(LENGTHS))


@pytest.fixture
def reference(model, tmp_path) -> PeftModel:
    """Load the same adapter into the same base model with peft."""
    write_adapter(tmp_path, model.adapter, model.base)
    plain = AutoModelForCausalLM.from_pretrained(model.base.source, dtype=torch.float32)
    return PeftModel.from_pretrained(plain, tmp_path, is_trainable=True).eval()


def reference_parameters(reference: PeftModel) -> dict[str, torch.nn.Parameter]:
    """Return peft's matrices under our names."""
    return {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): parameter
        for name, parameter in reference.named_parameters()
        if parameter.requires_grad
    }


def reference_loss(reference: PeftModel, data: tuple[Datum, ...]) -> torch.Tensor:
    """Sum the weighted cross-entropy one datum at a time, with all logits in memory."""
    total = torch.zeros((), dtype=torch.float32)
    for item in data:
        logits = reference(torch.from_numpy(item.tokens)[None]).logits[0]
        target = torch.from_numpy(item.inputs["target_tokens"])
        weights = torch.from_numpy(item.inputs["weights"])
        logp = logits.log_softmax(dim=1)[torch.arange(len(target)), target]
        total = total - (logp * weights).sum()
    return total


def test_loss_and_gradient_equal_peft(model, data, reference):
    loss = reference_loss(reference, data)
    loss.backward()
    expected = {name: value.grad for name, value in reference_parameters(reference).items()}

    result = train_step(model, step(*data))

    assert result.metrics["loss:sum"] == pytest.approx(loss.item(), rel=RTOL)
    assert worst_error(gradient(model), expected) < RTOL


@pytest.mark.parametrize("changes", [{}, {"grad_clip_norm": 0.5, "weight_decay": 0.1}])
def test_five_steps_follow_peft_with_torch_adamw_and_clipping(model, data, reference, changes):
    numbers = {**ADAM, **changes}
    parameters = reference_parameters(reference)
    adamw = torch.optim.AdamW(
        parameters.values(),
        lr=numbers["learning_rate"],
        betas=(numbers["beta1"], numbers["beta2"]),
        eps=numbers["eps"],
        weight_decay=numbers["weight_decay"],
    )
    max_norm = numbers["grad_clip_norm"] or float("inf")
    for _ in range(5):
        adamw.zero_grad()
        loss = reference_loss(reference, data)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
        adamw.step()

        result = train_step(model, step(*data))
        metrics = optim_step(model, optim(**changes)).metrics

        # Adam divides by tiny moments, which magnifies rounding from step to step.
        assert result.metrics["loss:sum"] == pytest.approx(loss.item(), rel=1e-4)
        assert metrics["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
        assert metrics["learning_rate"] == numbers["learning_rate"]
    found = {name: value.detach() for name, value in model.adapter.named_tensors().items()}
    expected = {name: value.detach() for name, value in parameters.items()}
    assert worst_error(found, expected) < 1e-3


def test_accumulated_single_datums_equal_one_batch(base, data):
    together, apart = trained(base), trained(base)
    train_step(together, step(*data))

    losses = [train_step(apart, step(item)).metrics["loss:sum"] for item in data]

    assert sum(losses) == pytest.approx(
        train_step(together, step(*data, backward=False)).metrics["loss:sum"], rel=RTOL
    )
    assert worst_error(gradient(apart), gradient(together)) < RTOL


def test_log_probabilities_do_not_depend_on_the_rest_of_the_batch(model, data):
    together = train_step(model, step(*data, backward=False)).outputs

    alone = [train_step(model, step(item, backward=False)).outputs[0] for item in data]

    for one, all_ in zip(alone, together, strict=True):
        np.testing.assert_allclose(one["logprobs"], all_["logprobs"], atol=ATOL, rtol=0)


def test_results_do_not_depend_on_how_datums_share_passes(base, data):
    wide, narrow = trained(base), trained(base)
    expected = train_step(wide, step(*data))

    found = train_step(narrow, step(*data), max_rows=1)

    assert found.metrics["loss:sum"] == pytest.approx(expected.metrics["loss:sum"], rel=RTOL)
    assert worst_error(gradient(narrow), gradient(wide)) < RTOL


def test_outputs_come_back_in_order_and_in_the_shape_of_the_targets(model):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, VOCAB_SIZE, 6)
    wide = rng.integers(0, VOCAB_SIZE, (6, 3))
    soft = Datum(
        tokens=tokens,
        inputs={"target_tokens": wide, "weights": np.full((6, 3), 1 / 3, dtype=np.float32)},
    )
    first = Datum(tokens=tokens, inputs={"target_tokens": np.ascontiguousarray(wide[:, 0])})

    outputs = train_step(model, step(datum(9, 1), soft, datum(2, 2), first)).outputs

    assert [output["logprobs"].shape for output in outputs] == [(9,), (6, 3), (2,), (6,)]
    assert all(output["logprobs"].dtype == np.float32 for output in outputs)
    np.testing.assert_allclose(
        outputs[1]["logprobs"][:, 0], outputs[3]["logprobs"], atol=ATOL, rtol=0
    )


def test_log_probabilities_are_true_where_the_weight_is_zero(model):
    item = datum(12, 0)
    silent = Datum(
        tokens=item.tokens, inputs={**item.inputs, "weights": np.zeros(12, dtype=np.float32)}
    )

    loud = train_step(model, step(item, backward=False))
    result = train_step(model, step(silent, backward=False))

    assert result.metrics["loss:sum"] == 0.0
    assert np.array_equal(result.outputs[0]["logprobs"], loud.outputs[0]["logprobs"])


def test_forward_without_backward_leaves_the_gradient_alone_and_repeats_exactly(model, data):
    train_step(model, step(*data))
    before = gradient(model)

    first = train_step(model, step(*data, backward=False))
    second = train_step(model, step(*data, backward=False))

    after = gradient(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    for one, two in zip(first.outputs, second.outputs, strict=True):
        assert np.array_equal(one["logprobs"], two["logprobs"])


def test_forward_only_gives_no_gradient_to_step_on(model, data):
    train_step(model, step(*data, backward=False))

    with pytest.raises(UserError, match="forward_backward must come first"):
        optim_step(model, optim())


def test_second_optimizer_step_needs_a_new_gradient(model, data):
    train_step(model, step(*data))
    optim_step(model, optim())

    with pytest.raises(UserError, match="forward_backward must come first"):
        optim_step(model, optim())


def test_custom_loss_through_weights_equals_its_own_gradient(model, reference):
    # A client differentiates its loss by the log-probabilities and sends the negated slope as
    # weights; here the loss is the square of the mean log-probability.
    item = datum(20, 4)
    target = torch.from_numpy(item.inputs["target_tokens"])
    logits = reference(torch.from_numpy(item.tokens)[None]).logits[0]
    logits.log_softmax(dim=1)[torch.arange(20), target].mean().square().backward()
    expected = {name: value.grad for name, value in reference_parameters(reference).items()}

    (output,) = train_step(model, step(item, backward=False)).outputs
    slope = 2 * output["logprobs"].mean() / 20
    weights = np.full(20, -slope, dtype=np.float32)
    surrogate = Datum(tokens=item.tokens, inputs={**item.inputs, "weights": weights})
    train_step(model, step(surrogate))

    assert worst_error(gradient(model), expected) < RTOL


def test_metric_names_have_exactly_one_colon(model, data):
    metrics = train_step(model, step(*data)).metrics

    assert "loss:sum" in metrics
    assert "tokens:sum" in metrics
    assert all(name.count(":") == 1 for name in metrics)


@pytest.mark.parametrize("loss_fn", ["importance_sampling", "ppo"])
def test_on_policy_losses_have_the_gradient_of_advantage_weighted_cross_entropy(base, loss_fn):
    policy, supervised = trained(base), trained(base)
    item = datum(16, 3)
    (output,) = train_step(policy, step(item, backward=False)).outputs
    advantages = np.random.default_rng(1).normal(size=16).astype(np.float32)
    target = item.inputs["target_tokens"]
    inputs = {
        "target_tokens": target,
        "logprobs": output["logprobs"],
        "advantages": advantages,
        "mask": np.ones(16, dtype=np.float32),
    }

    result = train_step(policy, step(Datum(tokens=item.tokens, inputs=inputs), loss_fn=loss_fn))

    weighted = Datum(tokens=item.tokens, inputs={"target_tokens": target, "weights": advantages})
    train_step(supervised, step(weighted))
    assert worst_error(gradient(policy), gradient(supervised)) < RTOL
    assert result.metrics["ratio:sum"] == pytest.approx(16.0, rel=RTOL)


def test_failed_step_leaves_the_gradient_as_it_was(model, data):
    train_step(model, step(*data))
    before = gradient(model)
    ratio = Datum(
        tokens=np.array([1, 2]),
        inputs={
            "target_tokens": np.array([2, 3]),
            "logprobs": np.array([-1.0, -500.0], dtype=np.float32),
            "advantages": np.array([1.0, 1.0], dtype=np.float32),
        },
    )
    fine = Datum(
        tokens=ratio.tokens[:1], inputs={name: value[:1] for name, value in ratio.inputs.items()}
    )

    # The shorter datum is computed first and succeeds; its gradient must not stay behind.
    with pytest.raises(UserError, match="datum 1: the loss is not finite"):
        train_step(model, step(fine, ratio, loss_fn="importance_sampling"), max_rows=1)

    after = gradient(model)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_gradient_that_overflows_is_refused(model):
    item = datum(4, 0, weights=np.full(4, 3e38, dtype=np.float32))

    with pytest.raises(UserError, match="not finite"):
        train_step(model, step(item))

    assert model.gradient is None


def test_sum_of_gradients_that_overflows_is_refused_and_the_first_one_stays(model):
    gradients = [model.adapter.zero_gradient() for _ in range(2)]
    for each in gradients:
        each.flat_P[0] = 1.5e19  # its square is a float32, the square of twice as much is not
    add_gradient(model, gradients[0])

    with pytest.raises(UserError, match="not finite"):
        add_gradient(model, gradients[1])

    assert model.gradient.flat_P[0] == pytest.approx(1.5e19)
    optim_step(model, optim(grad_clip_norm=1.0))
    assert model.adapter.flat_P.isfinite().all()


def test_unknown_loss_and_config_are_refused_before_anything_else(model):
    with pytest.raises(UserError, match="the losses of this server are cross_entropy"):
        train_step(model, step(loss_fn="mse"))
    command = TrainStep(
        model_id="m", data=(datum(3, 0),), loss_fn="cross_entropy", loss_config={"beta": 1.0}
    )
    with pytest.raises(UserError, match="'beta'"):
        train_step(model, command)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("beta1", 1.0),
        ("beta2", -0.1),
        ("eps", -1e-8),
        ("eps", 0.0),
        ("eps", 1e-50),
        ("weight_decay", -0.1),
        ("grad_clip_norm", float("nan")),
    ],
)
def test_optimizer_numbers_out_of_range_are_named_and_keep_the_gradient(model, data, name, value):
    train_step(model, step(*data))

    with pytest.raises(UserError, match=f"`{name}` is {value}"):
        optim_step(model, optim(**{name: value}))

    assert model.gradient is not None
    assert model.optimizer.num_steps == 0

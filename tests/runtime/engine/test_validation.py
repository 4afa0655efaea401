"""What is refused, and what the sentence says."""

from __future__ import annotations

import numpy as np
import pytest
from mint_runtime.engine.commands import Datum
from mint_runtime.errors import UserError
from support.tiny import VOCAB_SIZE, datum, step, train_step, trained

GOOD = datum(4, 0)
RL = {
    "logprobs": np.zeros(4, dtype=np.float32),
    "advantages": np.ones(4, dtype=np.float32),
}


def changed(tokens=None, **inputs):
    values = {**GOOD.inputs, **inputs}
    return Datum(
        tokens=GOOD.tokens if tokens is None else np.array(tokens),
        inputs={name: value for name, value in values.items() if value is not None},
    )


def with_value(value):
    weights = np.ones(4, dtype=np.float64)
    weights[2] = value
    return changed(weights=weights)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (changed(tokens=np.zeros(0, dtype=np.int64)), r"`model_input` has shape \[0\]"),
        (changed(tokens=[[1, 2]]), r"`model_input` has shape \[1, 2\]"),
        (changed(tokens=[1.0, 2.0, 3.0, 4.0]), "`model_input` has type float64"),
        (changed(tokens=[1, 2, VOCAB_SIZE, 4]), "`model_input` holds 512 at position 2.*0 to 511"),
        (changed(tokens=[1, 2, 3, -1]), "`model_input` holds -1 at position 3"),
        (changed(target_tokens=None), "`target_tokens` is missing"),
        (
            changed(target_tokens=np.array([1, 2, 3])),
            r"`target_tokens` has shape \[3\], but `model_input` has 4 tokens",
        ),
        (
            changed(target_tokens=np.zeros((4, 0), dtype=np.int64)),
            r"`target_tokens` has shape \[4, 0\]",
        ),
        (changed(target_tokens=np.array([1, 2, 3, 9999])), "`target_tokens` holds 9999 at"),
        (changed(target_tokens=np.ones(4, dtype=np.float32)), "`target_tokens` has type float32"),
        (changed(weights=np.ones(3)), r"`weights` has shape \[3\], but `target_tokens` has \[4\]"),
        (changed(weights=np.ones((4, 1))), r"`weights` has shape \[4, 1\]"),
        (with_value(np.nan), "`weights` holds nan at position 2"),
        (with_value(-np.inf), "`weights` holds -inf at position 2"),
        (with_value(1e300), r"`weights` holds 1e\+300 at position 2.*finite float32"),
    ],
)
def test_broken_datum_is_named_with_field_and_value(base, broken, sentence):
    model = trained(base)

    with pytest.raises(UserError, match=f"datum 1: {sentence}"):
        train_step(model, step(GOOD, broken))

    assert model.gradient is None


@pytest.mark.parametrize("missing", ["logprobs", "advantages"])
def test_missing_input_of_a_loss_is_named(base, missing):
    item = changed(weights=None, **{**RL, missing: None})

    with pytest.raises(UserError, match=f"datum 0: loss ppo needs `{missing}`"):
        train_step(trained(base), step(item, loss_fn="ppo"))


@pytest.mark.parametrize("name", ["logprobs", "advantages"])
def test_infinite_input_of_a_loss_is_named(base, name):
    item = changed(weights=None, **{**RL, name: np.array([0, 0, 0, np.inf], dtype=np.float32)})

    with pytest.raises(UserError, match=f"datum 0: `{name}` holds inf at position 3"):
        train_step(trained(base), step(item, loss_fn="ppo"))


def test_datum_longer_than_the_context_is_refused(base):
    length = base.max_context_length + 1

    with pytest.raises(UserError, match=f"`model_input` has {length} tokens; 'tiny' takes"):
        train_step(trained(base), step(datum(length, 0)))


def test_no_datum_is_refused(base):
    with pytest.raises(UserError, match="`data` is empty"):
        train_step(trained(base), step())


def test_inputs_the_loss_does_not_know_are_ignored(base):
    item = changed(mask=np.array([np.nan]))

    assert train_step(trained(base), step(item)).outputs[0]["logprobs"].shape == (4,)


def test_narrow_integers_are_accepted(base):
    item = changed(
        tokens=GOOD.tokens.astype(np.int32),
        target_tokens=GOOD.inputs["target_tokens"].astype(np.int16),
    )

    expected = train_step(trained(base), step(GOOD)).outputs[0]["logprobs"]

    assert np.array_equal(train_step(trained(base), step(item)).outputs[0]["logprobs"], expected)

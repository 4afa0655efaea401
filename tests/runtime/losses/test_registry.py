"""The table of losses and their config."""

from __future__ import annotations

import numpy as np
import pytest
from mint_runtime.errors import UserError
from mint_runtime.losses import LOSSES, UNSERVED, get_loss, resolve_config


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_is_filed_under_its_own_name(name):
    assert get_loss(name).name == name


def test_unknown_loss_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'crossentropy'.*cross_entropy, importance_sampling, ppo"):
        get_loss("crossentropy")


def test_config_overrides_only_what_it_names():
    resolved = resolve_config(get_loss("ppo"), {"clip_high_threshold": 1.5})

    assert resolved == {"clip_low_threshold": 0.8, "clip_high_threshold": 1.5}


def test_unknown_config_key_names_the_accepted_ones():
    with pytest.raises(UserError, match=r"'epsilon'.*clip_low_threshold, clip_high_threshold"):
        resolve_config(get_loss("ppo"), {"epsilon": 0.2})


def test_loss_without_config_accepts_no_key():
    with pytest.raises(UserError, match="accepts no keys at all"):
        resolve_config(get_loss("cross_entropy"), {"beta": 0.1})


def test_config_value_that_is_not_a_number_is_refused():
    with pytest.raises(UserError, match="'clip_low_threshold' to nan"):
        resolve_config(get_loss("ppo"), {"clip_low_threshold": float("nan")})


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("stable_reinforce", r"not public.*`importance_sampling` or `cispo`"),
        ("custom", r"hosted service.*`forward_backward_custom`"),
    ],
)
def test_loss_that_cannot_be_served_says_why_and_what_to_do(name, way_out):
    with pytest.raises(UserError, match=f"`{name}` is not served: .*{way_out}"):
        get_loss(name)


def test_no_loss_is_both_served_and_not():
    assert not set(UNSERVED) & set(LOSSES)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_defaults_are_accepted(name):
    assert resolve_config(get_loss(name), {}) == LOSSES[name].config


@pytest.mark.parametrize("name", ["cispo", "gspo", "ppo"])
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"clip_low_threshold": -0.2}, "'clip_low_threshold' to -0.2, but a ratio is never"),
        ({"clip_high_threshold": -1.0}, "'clip_high_threshold' to -1, but a ratio is never"),
        (
            {"clip_high_threshold": 0.2},
            "'clip_low_threshold' is 0.8, above 'clip_high_threshold', which is 0.2.*0.8 and 1.2",
        ),
    ],
)
def test_thresholds_that_make_no_sense_are_refused_by_name_and_value(name, config, sentence):
    with pytest.raises(UserError, match=sentence):
        resolve_config(get_loss(name), config)


@pytest.mark.parametrize("name", ["cispo", "gspo", "ppo"])
@pytest.mark.parametrize("bounds", [(0.0, 4.0), (1.0, 1.0), (0.0, 0.0)])
def test_unusual_thresholds_are_accepted(name, bounds):
    config = dict(zip(("clip_low_threshold", "clip_high_threshold"), bounds, strict=True))

    assert resolve_config(get_loss(name), config) == config


def test_negative_beta_is_refused_by_name_and_value():
    with pytest.raises(UserError, match=r"'beta' to -0\.1; it must be at least 0"):
        resolve_config(get_loss("dro"), {"beta": -0.1})


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


@pytest.mark.parametrize("name", ["cispo", "ppo"])
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"clip_low_threshold": column(0.5, -0.5)},
            "datum 2: `clip_low_threshold` holds -0.5 at position 1",
        ),
        (
            {"clip_high_threshold": column(1.5, 0.5)},
            "datum 2: at position 1 `clip_low_threshold` is 0.8, above .* which is 0.5",
        ),
        (
            {"clip_low_threshold": column(0.5, 2.0), "clip_high_threshold": column(1.0, 1.0)},
            "datum 2: at position 1 `clip_low_threshold` is 2, above .* which is 1",
        ),
    ],
)
def test_thresholds_of_a_datum_are_checked_target_by_target(name, values, sentence):
    loss = get_loss(name)

    with pytest.raises(UserError, match=sentence):
        loss.check_inputs("datum 2", values, loss.config)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"gspo"}))
def test_ordinary_datum_is_accepted(name):
    loss = get_loss(name)
    values = {"weights": column(0.0, 1.0), "clip_high_threshold": column(1.2, 0.8)}

    loss.check_inputs("datum 0", values, loss.config)

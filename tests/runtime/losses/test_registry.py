"""The table of losses and their config."""

from __future__ import annotations

import pytest
from mint_runtime.errors import UserError
from mint_runtime.losses import LOSSES, get_loss, resolve_config


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

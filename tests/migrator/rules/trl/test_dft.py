"""Which loss SFT uses."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, sft

BASE = 'output_dir="out", save_strategy="no"'


def test_the_loss_weighs_each_token_by_its_probability():
    result = sft(f'{BASE}, loss_type="dft"')
    text = converted(result)
    assert "training_client.forward_backward_custom(data, dft_loss)" in text
    assert 'loss_fn="cross_entropy"' not in text
    assert decision(result, "trl.SFTConfig.loss_type").fidelity is Fidelity.EXACT


@pytest.mark.parametrize("loss", ['"nll"', '"chunked_nll"', "None"])
def test_forms_of_the_plain_loss_stay_built_in(loss):
    result = sft(f"{BASE}, loss_type={loss}", source_version="1.9.0")
    text = converted(result)
    assert 'loss_fn="cross_entropy"' in text
    assert "dft" not in text
    assert decision(result, "trl.SFTConfig.loss_type").fidelity is Fidelity.EXACT


@pytest.mark.parametrize("loss", ['"mine"', "str(dataset)"])
def test_a_loss_that_is_not_known_stops_the_conversion(loss):
    assert sft(f"{BASE}, loss_type={loss}").text is None

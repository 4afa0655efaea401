"""Creating models, from a seed or from an initial adapter."""

from __future__ import annotations

import json

import pytest
import torch
from mint_runtime.engine.commands import CreateModel, LoraSpec
from mint_runtime.errors import NotFound, UserError
from mint_runtime.model.adapter import LORA_ALPHA
from mint_runtime.model.peft_files import write_adapter
from support.tiny import table, trained


def create(models, model_id="m", base_model="tiny", **lora):
    models.create(
        CreateModel(model_id=model_id, base_model=base_model, lora=LoraSpec(**{"rank": 4, **lora}))
    )
    return models.model(model_id)


@pytest.fixture
def initial(base, tmp_path):
    """Write an adapter on the attention layers, rank 4 and alpha 5, and return its folder."""
    write_adapter(tmp_path, trained(base, train_mlp=False, train_unembed=False).adapter, base)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": 5}))
    return tmp_path


def test_unknown_base_model_lists_the_served_ones(base):
    with pytest.raises(NotFound, match="no base model 'other'; it has 'tiny'"):
        create(table(base), base_model="other")


def test_duplicate_id_is_refused_and_the_first_model_kept(base):
    models = table(base)
    first = create(models)

    with pytest.raises(UserError, match="already a model 'm'"):
        create(models)

    assert models.model("m") is first


@pytest.mark.parametrize("rank", [0, -1, 17])
def test_rank_out_of_range_is_named_with_the_limit(base, rank):
    with pytest.raises(UserError, match=f"`rank` is {rank}; this server takes 1 to 16"):
        create(table(base, max_lora_rank=16), rank=rank)


def test_more_models_than_allowed_are_refused(base):
    models = table(base, max_adapters=1)
    create(models)

    with pytest.raises(UserError, match="at most 1 models"):
        create(models, model_id="n")


def test_model_that_trains_nothing_is_refused(base):
    with pytest.raises(UserError, match="`train_attn`, `train_mlp` and `train_unembed`"):
        create(table(base), train_attn=False, train_mlp=False, train_unembed=False)


def test_rank_32_works_on_a_tiny_model(base):
    assert create(table(base), rank=32).adapter.rank == 32


def test_request_without_initial_adapter_has_the_constant_alpha(base):
    assert create(table(base)).adapter.alpha == LORA_ALPHA


def test_first_model_starts_from_the_initial_adapter_whatever_the_flags(base, initial):
    expected = trained(base, train_mlp=False, train_unembed=False).adapter

    found = create(table(base, initial_adapter=initial)).adapter

    assert found.alpha == 5
    assert list(found.pairs) == list(expected.pairs)
    assert all(map(torch.equal, found.parameters(), expected.parameters()))


def test_second_model_starts_at_random(base, initial):
    models = table(base, initial_adapter=initial)
    create(models)

    second = create(models, model_id="n").adapter

    assert second.alpha == LORA_ALPHA
    assert any("mlp" in name for name in second.pairs)


def test_another_rank_than_that_of_the_initial_adapter_is_refused_and_does_not_use_it_up(
    base, initial
):
    models = table(base, initial_adapter=initial)

    with pytest.raises(UserError, match=r"has rank 4, but the model asks for rank 8"):
        create(models, rank=8)

    assert create(models).adapter.alpha == 5

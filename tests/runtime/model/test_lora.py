"""LoRA layers and the adapters they are given."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.model.lora import LORA_ALPHA, Adapter, LoraLinear, activate, new_adapter
from support.tiny import load, shake

TOKENS = torch.tensor([[1, 2, 3, 4]])
GROUPS = frozenset({"attn", "mlp", "unembed"})


def adapter_for(base, seed=0, groups=GROUPS, rank=4):
    return new_adapter(base.layers, rank=rank, groups=groups, seed=seed)


def logits(base, adapter):
    with torch.no_grad(), base.use(adapter):
        return base.unembed(base.hidden(TOKENS))


def test_layers_of_attention_mlp_and_output_are_wrapped(base):
    groups = {
        name.removeprefix("model.layers.0."): layer.group
        for name, layer in base.layers.items()
        if "layers.1." not in name
    }

    assert groups == {
        "self_attn.q_proj": "attn",
        "self_attn.k_proj": "attn",
        "self_attn.v_proj": "attn",
        "self_attn.o_proj": "attn",
        "mlp.gate_proj": "mlp",
        "mlp.up_proj": "mlp",
        "mlp.down_proj": "mlp",
        "lm_head": "unembed",
    }


def test_fresh_adapter_changes_nothing(base):
    assert torch.equal(logits(base, adapter_for(base)), logits(base, None))


def test_update_is_scaled_by_alpha_over_rank():
    layer = LoraLinear(torch.nn.Linear(3, 2), "mlp")
    adapter = new_adapter({"layer": layer}, rank=4, groups=GROUPS, seed=0)
    shake(adapter)
    pair, x = adapter.pairs["layer"], torch.randn(5, 3)

    with activate({"layer": layer}, adapter):
        found = layer(x)

    expected = layer.base(x) + (LORA_ALPHA / 4) * x @ pair.a_RI.T @ pair.b_OR.T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)  # rounding of three products


def test_rank_stabilized_scaling_divides_by_the_root_of_the_rank():
    assert Adapter(rank=4, alpha=8.0, pairs={}, use_rslora=True).scaling == 4.0


def test_start_is_uniform_within_one_over_root_of_inputs_and_zero(base):
    pair = adapter_for(base, rank=64).pairs["model.layers.0.mlp.down_proj"]
    bound = 1 / math.sqrt(pair.a_RI.shape[1])

    assert pair.a_RI.abs().max() <= bound
    # 8192 uniform numbers: the mean square is a third of the square of the bound, within 5 %.
    assert pair.a_RI.square().mean().item() == pytest.approx(bound**2 / 3, rel=0.05)
    assert not pair.b_OR.any()


def test_same_seed_gives_the_same_matrices(base):
    first, second = adapter_for(base, seed=5), adapter_for(base, seed=5)

    assert all(map(torch.equal, first.parameters(), second.parameters()))


@pytest.mark.parametrize("seed", [None, 6], ids=["no seed", "another seed"])
def test_other_seeds_give_other_matrices(base, seed):
    name = "model.layers.0.self_attn.q_proj"

    assert not torch.equal(
        adapter_for(base, seed=5).pairs[name].a_RI, adapter_for(base, seed=seed).pairs[name].a_RI
    )


def test_seed_does_not_touch_the_global_random_state(base):
    state = torch.get_rng_state()

    adapter_for(base, seed=5)

    assert torch.equal(torch.get_rng_state(), state)


def test_negative_and_huge_seeds_are_accepted(base):
    adapter_for(base, seed=-1)
    adapter_for(base, seed=2**70)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_only_the_asked_group_is_covered(base, group):
    adapter = adapter_for(base, groups=frozenset({group}))

    assert {base.layers[name].group for name in adapter.pairs} == {group}


def test_adapters_do_not_leak_into_each_other_or_the_base(base):
    plain = logits(base, None)
    first, second = adapter_for(base, seed=1), adapter_for(base, seed=2)
    shake(first, 1), shake(second, 2)
    alone = logits(base, first)

    logits(base, second)

    assert torch.equal(logits(base, first), alone)
    assert not torch.equal(logits(base, second), alone)
    assert torch.equal(logits(base, None), plain)


def test_adapter_is_put_away_after_an_error(base):
    plain, adapter = logits(base, None), adapter_for(base)
    shake(adapter)

    with pytest.raises(RuntimeError, match="boom"), base.use(adapter):
        raise RuntimeError("boom")

    assert torch.equal(base.unembed(base.hidden(TOKENS)), plain)


def test_output_adapter_of_a_tied_model_leaves_the_embedding_alone(base):
    assert base.network.config.tie_word_embeddings
    adapter = adapter_for(base, groups=frozenset({"unembed"}))
    shake(adapter)
    with torch.no_grad():
        plain = base.hidden(TOKENS)
        with base.use(adapter):
            adapted = base.hidden(TOKENS)

    assert torch.equal(adapted, plain)
    assert not torch.equal(logits(base, adapter), logits(base, None))


def test_gradients_reach_the_adapter_only(base):
    adapter = adapter_for(base)
    shake(adapter)

    with base.use(adapter):
        base.unembed(base.hidden(TOKENS)).square().sum().backward()

    assert all(tensor.grad is not None for tensor in adapter.parameters())
    assert not any(parameter.requires_grad for parameter in base.network.parameters())


def test_frozen_copy_does_not_follow_the_original(base):
    adapter = adapter_for(base)
    copy = adapter.frozen_copy()
    before = logits(base, copy)

    shake(adapter)

    assert torch.equal(logits(base, copy), before)
    assert not any(tensor.requires_grad for tensor in copy.parameters())


def test_same_seed_gives_the_same_matrices_on_another_copy_of_the_model(base, tiny_directory):
    again = load(tiny_directory)

    assert all(map(torch.equal, adapter_for(base).parameters(), adapter_for(again).parameters()))

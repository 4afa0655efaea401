"""LoRA layers and the adapters they are given."""

from __future__ import annotations

import math

import pytest
import torch
from mint_runtime.model.adapter import LORA_ALPHA, Adapter, new_adapter
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.lora import LoraContext, LoraLinear, LoraPlan, LoraRows
from support.tiny import load, shake
from support.tiny import logits as logits_of

TOKENS = torch.tensor([1, 2, 3, 4])
GROUPS = frozenset({"attn", "mlp", "unembed"})


def adapter_for(base, seed=0, groups=GROUPS, rank=4):
    return new_adapter(base.layers, rank=rank, groups=groups, seed=seed)


def logits(base, adapter):
    return logits_of(base, TOKENS, adapter)


def hidden(base):
    return base.hidden(TOKENS, torch.arange(4), CausalPlan((4,), base.device))


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


def lone_layer(num_inputs=3, num_outputs=2):
    linear = torch.nn.Linear(num_inputs, num_outputs).requires_grad_(False)
    return LoraLinear(linear, name="layer", group="mlp", context=LoraContext())


def test_update_is_scaled_by_alpha_over_rank():
    layer = lone_layer()
    adapter = new_adapter({"layer": layer}, rank=4, groups=GROUPS, seed=0)
    shake(adapter)
    pair, x = adapter.pairs["layer"], torch.randn(5, 3)

    with layer.context.under(LoraPlan.whole(adapter, 5)):
        found = layer(x)

    expected = layer.base(x) + (LORA_ALPHA / 4) * x @ pair.a_RI.T @ pair.b_OR.T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)  # rounding of three products


def test_adapters_of_different_rank_and_scaling_share_a_pass_and_get_their_own_gradient():
    layer = lone_layer()
    adapters = [
        new_adapter({"layer": layer}, rank=rank, groups=GROUPS, seed=rank) for rank in (2, 5)
    ]
    shake(adapters[0], 0), shake(adapters[1], 1)
    gradients = [adapter.zero_gradient() for adapter in adapters]
    x = torch.randn(9, 3, requires_grad=True)
    # Rows 4 and 5 use no adapter.
    ranges = [(0, 4), (6, 9)]
    plan = LoraPlan(
        [
            LoraRows(start=start, end=end, adapter=adapter, gradient=gradient)
            for (start, end), adapter, gradient in zip(ranges, adapters, gradients, strict=True)
        ]
    )
    weights = torch.randn(9, 2)

    with layer.context.under(plan):
        (layer(x) * weights).sum().backward()

    plain = x.detach().clone().requires_grad_()
    flats = [adapter.flat_P.clone().requires_grad_() for adapter in adapters]
    y = layer.base(plain)
    total = (y * weights).sum()
    for (start, end), adapter, flat in zip(ranges, adapters, flats, strict=True):
        pair = adapter.views(flat)["layer"]
        update = adapter.scaling * plain[start:end] @ pair.a_RI.T @ pair.b_OR.T
        total = total + (update * weights[start:end]).sum()
    total.backward()
    torch.testing.assert_close(x.grad, plain.grad, rtol=1e-5, atol=1e-6)
    for gradient, flat in zip(gradients, flats, strict=True):
        torch.testing.assert_close(gradient.flat_P, flat.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_parts", [2, 3, 7], ids=["one by one", "together", "many"])
def test_parts_of_one_size_are_computed_like_single_ones(num_parts):
    layer = lone_layer(6, 5)
    adapters = [
        new_adapter({"layer": layer}, rank=2, groups=GROUPS, seed=i) for i in range(num_parts)
    ]
    for seed, adapter in enumerate(adapters):
        shake(adapter, seed)
    x = torch.randn(4 * num_parts, 6, requires_grad=True)
    weights = torch.randn(4 * num_parts, 5)

    def compute(plan_rows):
        gradients = [adapter.zero_gradient() for adapter in adapters]
        x.grad = None
        for rows in plan_rows:
            plan = LoraPlan(
                [
                    LoraRows(
                        start=4 * number - 4 * rows[0],
                        end=4 * number + 4 - 4 * rows[0],
                        adapter=adapters[number],
                        gradient=gradients[number],
                    )
                    for number in rows
                ]
            )
            part = slice(4 * rows[0], 4 * rows[-1] + 4)
            with layer.context.under(plan):
                (layer(x[part]) * weights[part]).sum().backward()
        return x.grad, torch.cat([gradient.flat_P for gradient in gradients])

    found = compute([range(num_parts)])
    expected = compute([[number] for number in range(num_parts)])

    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_gradients_of_two_passes_add_up():
    layer = lone_layer()
    adapter = new_adapter({"layer": layer}, rank=2, groups=GROUPS, seed=0)
    shake(adapter)
    once, twice = adapter.zero_gradient(), adapter.zero_gradient()
    x = torch.randn(4, 3, requires_grad=True)
    for gradient in (once, twice, twice):
        with layer.context.under(LoraPlan.whole(adapter, 4, gradient)):
            layer(x).sum().backward()

    torch.testing.assert_close(twice.flat_P, 2 * once.flat_P)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 9, [(0, 4), (6, 9)]), (2, 7, [(0, 2), (4, 5)]), (4, 6, []), (8, 9, [(0, 1)])],
)
def test_narrowed_plan_counts_from_its_first_row(base, start, end, expected):
    adapter = adapter_for(base)
    plan = LoraPlan([LoraRows(start=s, end=e, adapter=adapter) for s, e in ((0, 4), (6, 9))])

    found = [(rows.start, rows.end) for rows in plan.narrow(start, end).rows]

    assert found == expected


def test_selected_rows_keep_their_adapter(base):
    adapter = adapter_for(base)
    plan = LoraPlan([LoraRows(start=s, end=e, adapter=adapter) for s, e in ((0, 4), (6, 9))])

    found = plan.select(torch.tensor([1, 3, 5, 8]))

    assert [(rows.start, rows.end) for rows in found.rows] == [(0, 2), (3, 4)]


def test_rank_stabilized_scaling_divides_by_the_root_of_the_rank():
    matrices = {"layer": (torch.zeros(4, 3), torch.zeros(2, 4))}

    assert Adapter.of(matrices, rank=4, alpha=8.0, use_rslora=True).scaling == 4.0


def test_matrices_are_views_of_the_flat_buffer(base):
    adapter = adapter_for(base)

    adapter.flat_P.fill_(7.0)

    assert all((tensor == 7.0).all() for tensor in adapter.parameters())
    assert sum(tensor.numel() for tensor in adapter.parameters()) == adapter.flat_P.numel()


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

    with pytest.raises(RuntimeError, match="boom"), base.under(LoraPlan.whole(adapter, 4)):
        raise RuntimeError("boom")

    with torch.no_grad():
        assert torch.equal(base.unembed(hidden(base)), plain)


def test_output_adapter_of_a_tied_model_leaves_the_embedding_alone(base):
    assert base.network.config.tie_word_embeddings
    adapter = adapter_for(base, groups=frozenset({"unembed"}))
    shake(adapter)
    with torch.no_grad():
        plain = hidden(base)
        with base.under(LoraPlan.whole(adapter, 4)):
            adapted = hidden(base)

    assert torch.equal(adapted, plain)
    assert not torch.equal(logits(base, adapter), logits(base, None))


def test_gradients_reach_every_matrix_of_the_adapter_and_nothing_else(base):
    adapter = adapter_for(base)
    shake(adapter)
    gradient = adapter.zero_gradient()

    with base.under(LoraPlan.whole(adapter, 4, gradient)):
        base.unembed(hidden(base)).square().sum().backward()

    assert all(pair.a_RI.any() and pair.b_OR.any() for pair in gradient.pairs.values())
    assert not any(parameter.requires_grad for parameter in base.network.parameters())
    assert all(parameter.grad is None for parameter in base.network.parameters())


def test_frozen_copy_does_not_follow_the_original(base):
    adapter = adapter_for(base)
    copy = adapter.frozen_copy()
    before = logits(base, copy)

    shake(adapter)

    assert torch.equal(logits(base, copy), before)


def test_same_seed_gives_the_same_matrices_on_another_copy_of_the_model(base, tiny_directory):
    again = load(tiny_directory)

    assert all(map(torch.equal, adapter_for(base).parameters(), adapter_for(again).parameters()))

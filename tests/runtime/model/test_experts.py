"""Experts with LoRA: transformers' own numbers, and several adapters in one pass."""

from __future__ import annotations

import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.model.adapter import Adapter, new_adapter
from mint_runtime.model.experts import LoraExperts, find_uneven_experts, wrap_experts
from mint_runtime.model.lora import LoraContext, LoraPlan, LoraRows
from torch import nn
from transformers import MixtralConfig, Qwen3MoeConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeExperts

NUM_ROWS, NUM_EXPERTS, NUM_CHOSEN, WIDTH, INNER = 9, 6, 2, 32, 24
# Two float32 programs for the same formula.
TOLERANCE = 1e-6
RELATIVE = 1e-5


def plain_experts(implementation="grouped_mm"):
    config = Qwen3MoeConfig(num_experts=NUM_EXPERTS, hidden_size=WIDTH, moe_intermediate_size=INNER)
    config._experts_implementation = implementation
    experts = Qwen3MoeExperts(config)
    for parameter in experts.parameters():
        nn.init.normal_(parameter, std=0.1).requires_grad_(False)
    return experts


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def layer():
    return LoraExperts(plain_experts(), name="experts", context=LoraContext())


def routed(num_experts=NUM_EXPERTS):
    """Return rows, the experts of each and their weights; experts from `num_experts` on idle."""
    x_ND = torch.randn(NUM_ROWS, WIDTH, requires_grad=True)
    expert_NK = torch.rand(NUM_ROWS, num_experts).topk(NUM_CHOSEN).indices
    weight_NK = torch.rand(NUM_ROWS, NUM_CHOSEN, requires_grad=True)
    return x_ND, expert_NK, weight_NK


def shaken(layer, rank, seed=0):
    adapter = new_adapter(layer.layers(), rank=rank, groups=frozenset({"mlp"}), seed=seed)
    adapter.flat_P.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
    return adapter


def derivatives(result, *inputs):
    grad = torch.randn(result.shape, generator=torch.Generator().manual_seed(5))
    return torch.autograd.grad(result, inputs, grad)


def assert_close(found, expected):
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected, atol=RELATIVE * scale, rtol=0)


@pytest.mark.parametrize("num_experts", [NUM_EXPERTS, NUM_CHOSEN], ids=["spread", "few used"])
@pytest.mark.parametrize("implementation", ["eager", "grouped_mm"])
def test_without_adapter_output_and_gradient_are_those_of_transformers(implementation, num_experts):
    plain = plain_experts(implementation)
    x_ND, expert_NK, weight_NK = routed(num_experts)

    found = LoraExperts(plain, name="experts", context=LoraContext())(x_ND, expert_NK, weight_NK)

    expected = plain(x_ND, expert_NK, weight_NK)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)
    for ours, theirs in zip(
        derivatives(found, x_ND, weight_NK), derivatives(expected, x_ND, weight_NK), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def slowly(layer, x_ND, expert_NK, weight_NK, adapter_of_row, flats):
    """Compute row by row and expert by expert, with matrices taken from `flats`."""
    base, rows = layer.base, []
    for row, adapter in enumerate(adapter_of_row):
        pairs = adapter.views(flats[adapter]) if adapter else {}

        def linear(x, weight, name, adapter=adapter, pairs=pairs):
            if adapter is None:
                return weight @ x
            return weight @ x + adapter.scaling * pairs[name].b_OR @ (pairs[name].a_RI @ x)

        total = 0
        for expert, weight in zip(expert_NK[row].tolist(), weight_NK[row], strict=True):
            name = f"{layer.name}.{expert}"
            gate, up = base.gate_up_proj[expert].chunk(2)
            inner = base.act_fn(linear(x_ND[row], gate, f"{name}.gate_proj"))
            inner = inner * linear(x_ND[row], up, f"{name}.up_proj")
            total = total + weight * linear(inner, base.down_proj[expert], f"{name}.down_proj")
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize(
    "ranges",
    [[(0, 9)], [(0, 4), (4, 9)], [(0, 4), (5, 9)], [(2, 3), (3, 3)]],
    ids=["one adapter", "two", "a row of none between", "one row and no row"],
)
def test_each_adapter_acts_on_its_rows_forward_and_backward(layer, ranges):
    x_ND, expert_NK, weight_NK = routed()
    adapters = [shaken(layer, rank, seed=rank) for rank in (3, 5)][: len(ranges)]
    gradients = [adapter.zero_gradient() for adapter in adapters]
    rows = [
        LoraRows(start=start, end=end, adapter=adapter, gradient=gradient)
        for (start, end), adapter, gradient in zip(ranges, adapters, gradients, strict=True)
    ]

    with layer.context.under(LoraPlan(rows)):
        found = layer(x_ND, expert_NK, weight_NK)
        found_derivatives = derivatives(found, x_ND, weight_NK)

    owners = [
        next((part.adapter for part in rows if part.start <= row < part.end), None)
        for row in range(NUM_ROWS)
    ]
    flats = {adapter: adapter.flat_P.clone().requires_grad_() for adapter in adapters}
    expected = slowly(layer, x_ND, expert_NK, weight_NK, owners, flats)
    assert_close(found, expected)
    used = [adapter for adapter in adapters if adapter in owners]
    by_x, by_weight, *by_flats = derivatives(
        expected, x_ND, weight_NK, *(flats[adapter] for adapter in used)
    )
    assert_close(found_derivatives[0], by_x)
    assert_close(found_derivatives[1], by_weight)
    for adapter, by_flat in zip(used, by_flats, strict=True):
        assert_close(gradients[adapters.index(adapter)].flat_P, by_flat)


def test_gradients_add_up_over_passes(layer):
    x_ND, expert_NK, weight_NK = routed()
    adapter = shaken(layer, 4)
    gradient, twice = adapter.zero_gradient(), adapter.zero_gradient()

    for total, num_passes in ((gradient, 1), (twice, 2)):
        for _ in range(num_passes):
            with layer.context.under(LoraPlan.whole(adapter, NUM_ROWS, total)):
                derivatives(layer(x_ND, expert_NK, weight_NK), x_ND)

    assert_close(twice.flat_P, 2 * gradient.flat_P)


def test_adapter_of_other_layers_changes_nothing(layer):
    other = Adapter.of({"q": (torch.ones(2, 3), torch.ones(3, 2))}, rank=2, alpha=1.0)
    arguments = routed()

    with layer.context.under(LoraPlan.whole(other, NUM_ROWS)):
        found = layer(*arguments)

    assert torch.equal(found, layer(*arguments))


def test_bfloat16_experts_take_float32_adapters():
    layer = LoraExperts(plain_experts().bfloat16(), name="experts", context=LoraContext())
    x_ND, expert_NK, weight_NK = routed()
    adapter = shaken(layer, 4)
    gradient = adapter.zero_gradient()

    with layer.context.under(LoraPlan.whole(adapter, NUM_ROWS, gradient)):
        found = layer(x_ND.bfloat16(), expert_NK, weight_NK.bfloat16())
        derivatives(found.float(), x_ND)

    exact = LoraExperts(layer.base.float(), name="experts", context=LoraContext())
    expected = adapter.zero_gradient()
    with exact.context.under(LoraPlan.whole(adapter, NUM_ROWS, expected)):
        derivatives(exact(x_ND, expert_NK, weight_NK), x_ND)
    # bfloat16 keeps 8 bits, and a gradient passes through a handful of roundings.
    error = (gradient.flat_P - expected.flat_P).norm() / expected.flat_P.norm()
    assert 0 < error < 0.02


def test_layers_are_named_and_sized_as_linear_layers_of_each_expert(layer):
    sizes = {
        name: (each.group, each.in_features, each.out_features)
        for name, each in layer.layers().items()
    }

    assert len(sizes) == 3 * NUM_EXPERTS
    assert sizes["experts.5.up_proj"] == ("mlp", WIDTH, INNER)
    assert sizes["experts.0.down_proj"] == ("mlp", INNER, WIDTH)


def test_another_kind_of_mixture_is_refused():
    config = MixtralConfig(hidden_size=8, intermediate_size=8, num_local_experts=2)
    model = nn.ModuleDict({"mlp": MixtralSparseMoeBlock(config)})

    with pytest.raises(UserError, match=r"`mlp\.experts` .* MixtralExperts, .* Qwen3-MoE can"):
        wrap_experts(model, LoraContext())


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ((), None),
        (("experts.2.up_proj",), ("experts.0.up_proj", "experts.2.up_proj")),
        (("experts.0.gate_proj",), ("experts.1.gate_proj", "experts.0.gate_proj")),
        (tuple(f"experts.{expert}.up_proj" for expert in range(NUM_EXPERTS)), None),
    ],
    ids=["whole", "one missing", "first missing", "a projection missing"],
)
def test_experts_covered_unevenly_are_found(layer, missing, expected):
    layers = layer.layers()
    covered = {name: None for name in layers if name not in missing}

    assert find_uneven_experts(covered, layers) == expected


@pytest.mark.parametrize("projections", [("down_proj",), ("up_proj", "down_proj")])
def test_adapter_of_some_projections_leaves_the_others_alone(layer, projections):
    arguments = routed()
    full = shaken(layer, 4)
    partial, zeroed = {}, {}
    for name, pair in full.pairs.items():
        is_kept = name.endswith(projections)
        zeroed[name] = (pair.a_RI, pair.b_OR if is_kept else torch.zeros_like(pair.b_OR))
        if is_kept:
            partial[name] = (pair.a_RI, pair.b_OR)
    found = []
    for matrices in (partial, zeroed):
        adapter = Adapter.of(matrices, rank=4, alpha=full.alpha)
        with layer.context.under(LoraPlan.whole(adapter, NUM_ROWS)):
            found.append(layer(*arguments))

    torch.testing.assert_close(*found, atol=TOLERANCE, rtol=0)
    assert not torch.allclose(found[0], layer(*arguments), atol=TOLERANCE)

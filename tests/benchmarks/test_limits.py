"""The formulas of the limits, beside what torch counts on a model that runs."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, Qwen3Config

from benchmarks.limits import (
    Decode,
    Machine,
    adapter_parameters,
    attention_flops,
    body_parameters,
    decode_seconds,
    head_flops,
    head_parameters,
    key_value_bytes,
    training_flops,
)
from benchmarks.models import QWEN3_06B, QWEN3_4B, TINY

# peft asks the model for a property that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
RANK, LENGTH = 8, 64
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def network():
    config = Qwen3Config(
        vocab_size=TINY.vocab_size,
        hidden_size=TINY.hidden_size,
        intermediate_size=TINY.intermediate_size,
        num_hidden_layers=TINY.num_layers,
        num_attention_heads=TINY.num_heads,
        num_key_value_heads=TINY.num_kv_heads,
        head_dim=TINY.head_dim,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    base = AutoModelForCausalLM.from_config(config)
    return get_peft_model(base, LoraConfig(r=RANK, lora_alpha=32, target_modules=LINEARS))


def counted(network, *, backward):
    tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        logits = network(input_ids=tokens).logits
        if backward:
            logits.sum().backward()
    return counter.get_total_flops()


def test_training_operations_are_what_torch_counts(network):
    full_attention = 3 * attention_flops(TINY, [LENGTH])
    expected = training_flops(TINY, [LENGTH], num_active=LENGTH, rank=RANK) + full_attention
    # The first layer's inputs need no gradient, which torch saves in q, k and v and in their A.
    skipped = sum(2 * LENGTH * TINY.hidden_size * (out + RANK) for _, out in TINY.linears()[:3])
    # Eager attention computes the masked half too, hence the second count of it.
    rest = expected - skipped
    assert counted(network, backward=True) == pytest.approx(rest, rel=0.01)


def test_forward_operations_are_what_torch_counts(network):
    matrices = body_parameters(TINY) + head_parameters(TINY) + adapter_parameters(TINY, RANK)
    expected = 2 * LENGTH * matrices + 2 * attention_flops(TINY, [LENGTH])
    assert counted(network, backward=False) == pytest.approx(expected, rel=1e-3)


def test_positions_without_a_loss_save_the_backward_of_the_head():
    whole = training_flops(TINY, [LENGTH], num_active=LENGTH, rank=RANK)
    half = training_flops(TINY, [LENGTH], num_active=LENGTH // 2, rank=RANK)
    assert whole - half == 2 * head_parameters(TINY) * LENGTH // 2


def test_recompute_adds_a_forward_of_the_decoder():
    plain = training_flops(TINY, [LENGTH], num_active=LENGTH, rank=RANK)
    again = training_flops(TINY, [LENGTH], num_active=LENGTH, rank=RANK, recompute=True)
    assert again - plain == 2 * body_parameters(TINY) * LENGTH + attention_flops(TINY, [LENGTH])


@pytest.mark.parametrize(
    ("model", "body", "head", "adapter", "cache"),
    [
        (QWEN3_06B, 0.4404e9, 0.1556e9, 20.2e6, 114_688),
        (QWEN3_4B, 3.6333e9, 0.3890e9, 66.1e6, 147_456),
    ],
    ids=["0.6b", "4b"],
)
def test_published_shapes_have_their_known_sizes(model, body, head, adapter, cache):
    assert body_parameters(model) == pytest.approx(body, rel=1e-3)
    assert head_parameters(model) == pytest.approx(head, rel=1e-3)
    assert adapter_parameters(model, 32) == pytest.approx(adapter, rel=1e-2)
    assert key_value_bytes(model, 2) == cache


def test_the_head_takes_two_products():
    assert head_flops(10, 3, 7) == 2 * (2 * 10 * 3 * 7)


SLOW_MEMORY = Machine(flops=1e30, bandwidth=1.0)


def decoded(work):
    return decode_seconds(TINY, work, SLOW_MEMORY, element_bytes=4, rank=RANK)


def test_each_step_reads_the_weights_once_and_every_running_sequence():
    weights = 4 * (body_parameters(TINY) + head_parameters(TINY) + adapter_parameters(TINY, RANK))
    cache = key_value_bytes(TINY, 4)
    # Two steps of the first sequence, one of the second; both have read 5 and 7 tokens.
    expected = 2 * weights + cache * (5 + 7) + cache * (5 + 1)
    assert decoded(Decode(prompts=(5, 7), outputs=(2, 1))) == pytest.approx(expected)


def test_a_shared_prompt_is_read_once_a_step():
    apart = decoded(Decode(prompts=(5, 5), outputs=(1, 1)))
    shared = decoded(Decode(prompts=(5, 5), outputs=(1, 1), prompts_shared_by=2))
    assert apart - shared == pytest.approx(5 * key_value_bytes(TINY, 4))

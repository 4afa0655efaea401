"""Each family of models against transformers and peft: logits, samples, layers and gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from mint_runtime.engine.commands import CreateModel, LoraSpec, OpenSampler, Sample, TrainStep
from mint_runtime.model.adapter import LoraPair, new_adapter
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.head import TargetLogprobs
from mint_runtime.model.load import BaseModel
from mint_runtime.model.lora import LoraPlan
from mint_runtime.model.peft_files import write_adapter
from mint_runtime.tiny_model import ARCHITECTURES, SLIDING_WINDOW
from peft import PeftModel
from support.tiny import VOCAB_SIZE, build_small, datum, load, relative_error, running_engine, shake
from transformers import AutoModelForCausalLM

FAMILIES = tuple(ARCHITECTURES)
# Both longer and shorter than the window of the families that have one, and one single token.
LENGTHS = (5, 40, 1, SLIDING_WINDOW, SLIDING_WINDOW + 1, 40)
# Two float32 programs for the same formula.
TOLERANCE = 1e-5
RANK = 4
GROUPS = ("attn", "mlp", "unembed")
PROMPT = torch.randint(VOCAB_SIZE, (40,), generator=torch.Generator().manual_seed(9))
NUM_TOKENS = 2 * SLIDING_WINDOW
ATTENTION = {f"self_attn.{name}_proj" for name in "qkvo"}
MLP = {f"mlp.{name}_proj" for name in ("gate", "up", "down")}
EXPERTS = {
    f"mlp.experts.{expert}.{name}_proj" for expert in range(8) for name in ("gate", "up", "down")
}
# peft looks for the patterns it makes for stacked experts among modules only, where they are not.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning"),
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """One family as the runtime loads it and as transformers does."""

    name: str
    base: BaseModel
    plain: Any


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {name: build_small(root / name, name) for name in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, folders):
    folder = folders[request.param]
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return Family(name=request.param, base=load(folder, request.param), plain=plain)


@pytest.fixture(scope="module")
def engine(folders):
    """Serve every family at once."""
    served = tuple((name, str(folder)) for name, folder in folders.items())
    with running_engine(folders["qwen3"], base_models=served) as running:
        yield running


def sequences():
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(VOCAB_SIZE, (length,), generator=generator) for length in LENGTHS]


def packed(base, tokens):
    """Run `tokens`, one after the other, through the layers in one pass."""
    positions = torch.cat([torch.arange(len(each)) for each in tokens])
    attention = CausalPlan([len(each) for each in tokens], base.device)
    return base.hidden(torch.cat(tokens), positions, attention)


def test_packed_logits_are_those_of_each_sequence_alone(family):
    tokens = sequences()

    with torch.no_grad():
        found = family.base.unembed(packed(family.base, tokens))
        expected = torch.cat([family.plain(each[None]).logits[0] for each in tokens])

    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("group", GROUPS)
def test_each_flag_trains_its_own_matrices(family, group):
    adapter = new_adapter(family.base.layers, rank=RANK, groups=frozenset({group}), seed=0)

    mlp = EXPERTS if family.name == "qwen3_moe" else MLP
    inside = {"attn": ATTENTION, "mlp": mlp, "unembed": set()}[group]
    expected = {f"model.layers.{layer}.{name}" for layer in range(2) for name in inside}
    assert set(adapter.pairs) == (expected or {"lm_head"})


def test_output_adapter_leaves_the_embedding_alone(family):
    adapter = new_adapter(family.base.layers, rank=RANK, groups=frozenset({"unembed"}), seed=0)
    shake(adapter)
    tokens = sequences()[:1]

    with torch.no_grad():
        plain = packed(family.base, tokens)
        with family.base.under(LoraPlan.whole(adapter, len(tokens[0]))):
            adapted = packed(family.base, tokens)
            moved = family.base.unembed(adapted) - family.base.unembedding.base(adapted)

    assert torch.equal(adapted, plain)
    assert moved.abs().max() > TOLERANCE


def test_logprobs_and_gradients_are_those_of_peft(family, tmp_path):
    base = family.base
    adapter = new_adapter(base.layers, rank=RANK, groups=frozenset(GROUPS), seed=1)
    shake(adapter)
    write_adapter(tmp_path, adapter, base)
    tokens = sequences()
    weight_N = torch.randn(sum(LENGTHS), generator=torch.Generator().manual_seed(8))

    logp_N, gradient = logprobs_and_gradient(base, adapter, tokens, weight_N)
    expected_N, expected = logprobs_and_gradient_of_peft(base, tmp_path, tokens, weight_N)

    torch.testing.assert_close(logp_N, expected_N, atol=TOLERANCE, rtol=TOLERANCE)
    assert gradient.keys() == expected.keys()
    worst = max(expected, key=lambda name: relative_error(gradient[name], expected[name]))
    assert relative_error(gradient[worst], expected[worst]) < TOLERANCE, worst


def logprobs_and_gradient(base, adapter, tokens, weight_N):
    """Return the log-probability of each token given by its reverse, and the gradient of the
    weighted sum."""
    num_rows = sum(map(len, tokens))
    gradient = adapter.zero_gradient()
    plan = LoraPlan.whole(adapter, num_rows, gradient)
    with base.under(plan):
        hidden_ND = packed(base, tokens)
        head = TargetLogprobs(base, hidden_ND, torch.cat(targets(tokens))[:, None], plan)
        hidden_ND.backward(head.backward(weight_N[:, None]))
    return head.logp_NK[:, 0], used_matrices(gradient.pairs)


def targets(tokens):
    return [each.flip(0) for each in tokens]


def logprobs_and_gradient_of_peft(base, folder, tokens, weight_N):
    network = AutoModelForCausalLM.from_pretrained(base.source, dtype=torch.float32).eval()
    model = PeftModel.from_pretrained(network, folder, is_trainable=True).eval()
    logp_N = torch.cat(
        [
            model(each[None]).logits[0].log_softmax(-1).gather(1, target[:, None])[:, 0]
            for each, target in zip(tokens, targets(tokens), strict=True)
        ]
    )
    (logp_N * weight_N).sum().backward()
    gradient = {}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            gradient[name.removeprefix("base_model.model.")] = parameter.grad
    pairs = {}
    for name in [name for name in gradient if ".lora_A." in name]:
        layer = name.partition(".lora_A.")[0]
        a, b = gradient[name], gradient[name.replace(".lora_A.", ".lora_B.")]
        pairs.update(split_experts(layer, a, b))
    return logp_N.detach(), used_matrices(pairs)


def split_experts(layer, a, b):
    """Take peft's stacked pairs of a mixture apart: `experts` holds those of `down_proj`, and
    `experts.base_layer` those of gate and up, on the diagonal of a pair of twice the rank."""
    block, is_mixture, rest = layer.partition(".experts")
    if not is_mixture:
        return {layer: LoraPair(a_RI=a, b_OR=b)}
    stacked_a, stacked_b = a.unflatten(0, (8, -1)), b.unflatten(1, (-1, 8)).permute(2, 0, 1)
    pairs = {}
    for expert, (one_a, one_b) in enumerate(zip(stacked_a, stacked_b, strict=True)):
        name = f"{block}.experts.{expert}"
        if not rest:
            pairs[f"{name}.down_proj"] = LoraPair(a_RI=one_a, b_OR=one_b)
            continue
        inner = len(one_b) // 2
        pairs[f"{name}.gate_proj"] = LoraPair(a_RI=one_a[:RANK], b_OR=one_b[:inner, :RANK])
        pairs[f"{name}.up_proj"] = LoraPair(a_RI=one_a[RANK:], b_OR=one_b[inner:, RANK:])
    return pairs


def used_matrices(pairs):
    """Return the gradients that are not zero: an expert no token went to has none."""
    named = {}
    for name, pair in pairs.items():
        named[f"{name}.lora_A"], named[f"{name}.lora_B"] = pair.a_RI, pair.b_OR
    return {name: value for name, value in named.items() if value.any()}


def greedy(engine, sampler_id, name, directory=None):
    """Draw through the engine, well beyond the window of the families that have one."""
    engine.submit(OpenSampler(sampler_id=sampler_id, base_model=name, directory=directory)).result()
    request = Sample(
        sampler_id=sampler_id,
        tokens=PROMPT.numpy(),
        max_tokens=NUM_TOKENS,
        temperature=0.0,
        stop_tokens=(),
    )
    return engine.submit(request).result().sequences[0].tokens.tolist()


def generated(model):
    """Draw with transformers' own loop and cache."""
    tokens = model.generate(
        input_ids=PROMPT[None],
        attention_mask=torch.ones_like(PROMPT)[None],
        do_sample=False,
        max_new_tokens=NUM_TOKENS,
        eos_token_id=None,
    )
    return tokens[0, len(PROMPT) :].tolist()


def test_greedy_samples_are_those_of_generate(engine, family):
    found = greedy(engine, f"bare {family.name}", family.name)

    assert found == generated(family.plain)


def test_greedy_samples_under_an_adapter_are_those_of_peft(engine, family, tmp_path):
    adapter = new_adapter(family.base.layers, rank=RANK, groups=frozenset(GROUPS), seed=2)
    shake(adapter, 2)
    write_adapter(tmp_path, adapter, family.base)
    network = AutoModelForCausalLM.from_pretrained(family.base.source, dtype=torch.float32).eval()
    expected = generated(PeftModel.from_pretrained(network, tmp_path).eval())

    found = greedy(engine, f"adapted {family.name}", family.name, tmp_path)

    assert found == expected
    assert found != generated(family.plain)


def test_models_of_one_server_train_side_by_side(engine, folders):
    data = (datum(9, 1), datum(20, 2))
    for name in FAMILIES:
        spec = LoraSpec(rank=RANK, seed=3)
        engine.submit(CreateModel(model_id=name, base_model=name, lora=spec)).result()

    pending = {
        name: engine.submit(TrainStep(model_id=name, data=data, loss_fn="cross_entropy"))
        for name in FAMILIES
    }

    for name, future in pending.items():
        found = np.concatenate([output["logprobs"] for output in future.result().outputs])
        np.testing.assert_allclose(
            found, plain_logprobs(folders[name], data), atol=TOLERANCE, rtol=TOLERANCE
        )


def plain_logprobs(folder, data):
    """Return what transformers gives the targets; a fresh adapter changes nothing."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for each in data:
        with torch.no_grad():
            logp_TV = plain(torch.from_numpy(each.tokens)[None]).logits[0].log_softmax(-1)
        target_T = torch.from_numpy(each.inputs["target_tokens"])
        found.append(logp_TV.gather(1, target_T[:, None])[:, 0].numpy())
    return np.concatenate(found)

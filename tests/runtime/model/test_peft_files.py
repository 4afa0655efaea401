"""Adapters in peft's format, both ways, with peft itself as the judge."""

from __future__ import annotations

import json

import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.model.adapter import LORA_ALPHA, new_adapter
from mint_runtime.model.attention import CausalPlan
from mint_runtime.model.lora import LoraPlan
from mint_runtime.model.peft_files import read_adapter, write_adapter
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.tiny import build_small, load, shake
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(3, 40)[None]
# Two float32 programs for the same formula.
TOLERANCE = 1e-5
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
# peft warns about every adapter on the output layer of a tied model; the embedding is not touched.
# It looks for the patterns it makes for stacked experts among modules only, where they are not.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`"),
]


@pytest.fixture
def plain(tiny_directory):
    return AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32).eval()


def logits(base, adapter):
    tokens = TOKENS[0]
    attention = CausalPlan([len(tokens)], base.device)
    with torch.no_grad(), base.under(LoraPlan.whole(adapter, len(tokens))):
        return base.unembed(base.hidden(tokens, torch.arange(len(tokens)), attention))[None]


def peft_adapter(plain, directory, **config):
    """Save a shaken peft adapter; return the logits of the model under it."""
    model = get_peft_model(plain, LoraConfig(task_type="CAUSAL_LM", **config)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.05, generator=generator)
        expected = model(TOKENS).logits
    model.save_pretrained(directory)
    return expected


def edit_config(directory, **changes):
    path = directory / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    "groups",
    [{"attn", "mlp", "unembed"}, {"attn"}, {"mlp", "unembed"}],
    ids=["all", "attention", "mlp and output"],
)
def test_peft_reads_our_files_and_computes_the_same_logits(base, plain, tmp_path, groups):
    adapter = new_adapter(base.layers, rank=4, groups=frozenset(groups), seed=1)
    shake(adapter)
    write_adapter(tmp_path, adapter, base)

    model = PeftModel.from_pretrained(plain, tmp_path)

    with torch.no_grad():
        torch.testing.assert_close(
            model(TOKENS).logits, logits(base, adapter), atol=TOLERANCE, rtol=TOLERANCE
        )


@pytest.mark.parametrize(
    "config",
    [
        {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
        {"r": 4, "lora_alpha": 3, "target_modules": ["q_proj", "v_proj"]},
        {"r": 4, "lora_alpha": 8, "target_modules": [*ATTENTION, "lm_head"]},
        {"r": 4, "lora_alpha": 8, "target_modules": ATTENTION, "use_rslora": True},
        {"r": 4, "target_modules": ATTENTION, "layers_to_transform": [1]},
    ],
    ids=["all-linear", "query and value", "with output", "rank-stabilized", "one layer"],
)
def test_we_read_peft_files_and_compute_the_same_logits(base, plain, tmp_path, config):
    expected = peft_adapter(plain, tmp_path, **config)

    adapter = read_adapter(tmp_path, base)

    torch.testing.assert_close(logits(base, adapter), expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert adapter.alpha == config.get("lora_alpha", 8)


def test_partly_covered_layers_survive_a_round_trip_through_peft(base, plain, tmp_path):
    config = {"target_modules": ATTENTION, "layers_to_transform": [1]}
    expected = peft_adapter(plain, tmp_path / "theirs", **config)
    (tmp_path / "ours").mkdir()
    write_adapter(tmp_path / "ours", read_adapter(tmp_path / "theirs", base), base)
    clean = AutoModelForCausalLM.from_pretrained(base.source, dtype=torch.float32).eval()

    model = PeftModel.from_pretrained(clean, tmp_path / "ours")

    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS).logits, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_written_then_read_adapter_is_bit_identical(base, tmp_path):
    adapter = new_adapter(base.layers, rank=4, groups=frozenset({"attn", "unembed"}), seed=1)
    shake(adapter)
    write_adapter(tmp_path, adapter, base)

    again = read_adapter(tmp_path, base)

    assert (again.rank, again.alpha) == (4, LORA_ALPHA)
    assert list(again.named_tensors()) == list(adapter.named_tensors())
    assert torch.equal(again.flat_P, adapter.flat_P)


def test_half_precision_matrices_of_others_are_read_as_float32(base, plain, tmp_path):
    expected = peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    path = tmp_path / "adapter_model.safetensors"
    save_file({key: value.bfloat16() for key, value in load_file(path).items()}, path)

    adapter = read_adapter(tmp_path, base)

    assert adapter.flat_P.dtype == torch.float32
    # bfloat16 keeps 8 bits of a matrix; the update is a small part of the logits.
    torch.testing.assert_close(logits(base, adapter), expected, atol=1e-2, rtol=0)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    return load(build_small(tmp_path_factory.mktemp("models") / "mixture", "qwen3_moe"))


@pytest.fixture
def mixture_folder(mixture, tmp_path):
    adapter = new_adapter(mixture.layers, rank=4, groups=frozenset({"attn", "mlp"}), seed=1)
    shake(adapter)
    write_adapter(tmp_path, adapter, mixture)
    return tmp_path


def test_experts_are_written_as_linear_layers_of_their_own(mixture_folder):
    tensors = load_file(mixture_folder / "adapter_model.safetensors")

    block = "base_model.model.model.layers.1.mlp.experts.7"
    assert tensors[f"{block}.gate_proj.lora_A.weight"].shape == (4, 64)
    assert tensors[f"{block}.gate_proj.lora_B.weight"].shape == (32, 4)
    assert tensors[f"{block}.down_proj.lora_B.weight"].shape == (64, 4)


def test_peft_reads_our_experts_and_computes_the_same_logits(mixture, mixture_folder):
    plain = AutoModelForCausalLM.from_pretrained(mixture.source, dtype=torch.float32).eval()

    model = PeftModel.from_pretrained(plain, mixture_folder)

    ours = read_adapter(mixture_folder, mixture)
    with torch.no_grad():
        found = model(TOKENS).logits
    torch.testing.assert_close(found, logits(mixture, ours), atol=TOLERANCE, rtol=TOLERANCE)
    assert not torch.allclose(found, logits(mixture, None), atol=TOLERANCE)


def test_block_with_some_experts_only_is_refused(mixture, mixture_folder):
    path = mixture_folder / "adapter_model.safetensors"
    kept = {key: value for key, value in load_file(path).items() if "1.mlp.experts.3" not in key}
    save_file(kept, path)

    with pytest.raises(UserError, match=r"not `model\.layers\.1\.mlp\.experts\.3\.gate_proj`"):
        read_adapter(mixture_folder, mixture)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_dora", True),
        ("rank_pattern", {"q_proj": 8}),
        ("alpha_pattern", {"q_proj": 8}),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "pissa"),
        ("peft_type", "IA3"),
        ("bias", "all"),
        ("target_parameters", ["mlp.experts.down_proj"]),
    ],
)
def test_variants_that_mean_something_else_are_refused(base, plain, tmp_path, key, value):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    edit_config(tmp_path, **{key: value})

    with pytest.raises(UserError, match=f"sets `{key}` to .*only plain LoRA"):
        read_adapter(tmp_path, base)


def test_rank_of_the_config_must_be_that_of_the_matrices(base, plain, tmp_path):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    edit_config(tmp_path, r=8)

    with pytest.raises(UserError, match=r"lora_A .*q_proj` is \[4, 64\], but rank 8 .*\[8, 64\]"):
        read_adapter(tmp_path, base)


def test_layer_the_model_does_not_have_is_named(base, plain, tmp_path):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    path = tmp_path / "adapter_model.safetensors"
    renamed = {key.replace("layers.1", "layers.9"): value for key, value in load_file(path).items()}
    save_file(renamed, path)

    with pytest.raises(UserError, match=r"layers\.9\.self_attn\.q_proj.*no trainable layer"):
        read_adapter(tmp_path, base)


def test_changed_embedding_is_refused(base, plain, tmp_path):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    path = tmp_path / "adapter_model.safetensors"
    embedding = base.network.get_input_embeddings().weight.detach() + 1
    save_file(
        {**load_file(path), "base_model.model.model.embed_tokens.weight": embedding.clone()}, path
    )

    with pytest.raises(UserError, match=r"embed_tokens\.weight` with other values"):
        read_adapter(tmp_path, base)


def test_missing_matrix_is_named(base, plain, tmp_path):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    path = tmp_path / "adapter_model.safetensors"
    kept = {key: value for key, value in load_file(path).items() if "layers.1" not in key}
    kept |= {key: value for key, value in load_file(path).items() if "lora_A" in key}
    save_file(kept, path)

    with pytest.raises(UserError, match=r"no lora_B for `model\.layers\.1\.self_attn\.q_proj`"):
        read_adapter(tmp_path, base)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_missing_file_is_named(base, plain, tmp_path, name):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    (tmp_path / name).unlink()

    with pytest.raises(UserError, match=name):
        read_adapter(tmp_path, base)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_damaged_file_is_named(base, plain, tmp_path, name):
    peft_adapter(plain, tmp_path, r=4, target_modules=["q_proj"])
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:40])

    with pytest.raises(UserError, match=name):
        read_adapter(tmp_path, base)

"""Reading base models."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.model.load import load_base_model
from support.tiny import (
    VOCAB_SIZE,
    build_small,
    datum,
    gradient,
    load,
    logits,
    step,
    train_step,
    trained,
)
from transformers import AutoModelForCausalLM, Gemma2Config


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
def test_other_architectures_load_and_describe_themselves(tmp_path, architecture):
    base = load(build_small(tmp_path / "model", architecture))

    assert base.architecture.lower() == f"{architecture}forcausallm"
    assert base.vocab_size == VOCAB_SIZE


def test_wrapped_model_computes_what_transformers_computes(base, tiny_directory):
    tokens = torch.arange(20)[None]
    plain = AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32).eval()

    with torch.no_grad():
        expected = plain(tokens).logits[0]

    found = logits(base, tokens[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)  # same kernels, other shapes


def test_every_declared_end_of_sequence_token_is_found(base):
    names = base.tokenizer.convert_ids_to_tokens(sorted(base.eos_tokens))

    assert names == ["<|endoftext|>", "<|im_end|>"]


def test_folder_without_weights_is_named(tmp_path):
    with pytest.raises(UserError, match=f"base model 'x' cannot be read from {tmp_path}"):
        load(tmp_path, "x")


def test_pickled_weights_are_refused(tmp_path, tiny_directory):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_directory, folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")

    with pytest.raises(UserError, match="cannot be read"):
        load(folder)


def test_code_in_the_model_folder_does_not_run(tmp_path, tiny_directory):
    folder, witness = tmp_path / "remote", tmp_path / "ran"
    shutil.copytree(tiny_directory, folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "foreign"
    config["auto_map"] = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(witness)!r}, 'w').close()\nclass C: pass\n")

    with pytest.raises(UserError, match="cannot be read"):
        load(folder)

    assert not witness.exists()


@pytest.mark.parametrize(
    ("capped", "sentence"),
    [
        (
            {"attn_logit_softcapping": None, "final_logit_softcapping": 0.1},
            "changes its logits after the output layer",
        ),
        (
            {"attn_logit_softcapping": 50.0, "final_logit_softcapping": None},
            "its attention is not plain causal attention",
        ),
    ],
    ids=["logits", "attention"],
)
def test_model_that_caps_what_it_computes_is_refused(tmp_path, capped, sentence):
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=32,
        **capped,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)

    with pytest.raises(UserError, match=sentence):
        load(tmp_path)


def test_unknown_dtype_lists_the_known_ones(tiny_directory):
    with pytest.raises(UserError, match=r"'float64'.*float32, bfloat16"):
        load_base_model("x", str(tiny_directory), device="cpu", dtype="float64")


def test_bfloat16_base_keeps_adapters_in_float32(base, tiny_directory):
    half = load_base_model("half", str(tiny_directory), device="cpu", dtype="bfloat16")
    model = trained(half)

    found = train_step(model, step(datum(20, 0))).outputs[0]["logprobs"]

    assert half.unembedding.weight.dtype == torch.bfloat16
    assert all(tensor.dtype == torch.float32 for tensor in gradient(model).values())
    expected = train_step(trained(base), step(datum(20, 0))).outputs[0]["logprobs"]
    # bfloat16 keeps eight bits; logits here are of order 10.
    np.testing.assert_allclose(found, expected, atol=0.1, rtol=0)


def test_loading_draws_nothing_on_the_terminal(tiny_directory, capfd):
    load(tiny_directory)

    assert capfd.readouterr() == ("", "")

"""The random model for tests and demonstrations."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

import pytest
import torch
from mint_runtime.errors import UserError
from mint_runtime.tiny_model import ARCHITECTURES, SLIDING_WINDOW, build_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

MODEL_TYPES = {"llama3": "llama", "gemma3": "gemma3_text", "mistral_sliding": "mistral"}
UNTIED = {"mistral", "mistral_sliding", "qwen3_moe"}

MESSAGES = [
    {"role": "user", "content": "What is ünïcode?"},
    {"role": "assistant", "content": "A table of characters.\n日本"},
]


def digests(directory):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


@pytest.fixture(scope="module")
def tokenizer(tiny_directory):
    return AutoTokenizer.from_pretrained(tiny_directory)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_same_arguments_write_the_same_bytes(tmp_path, architecture):
    for name in "ab":
        build_tiny_model(tmp_path / name, vocab_size=300, num_layers=1, architecture=architecture)

    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_seed_changes_the_weights_and_nothing_else(tmp_path):
    build_tiny_model(tmp_path / "a", vocab_size=300, num_layers=1)
    build_tiny_model(tmp_path / "b", vocab_size=300, num_layers=1, seed=1)

    before, after = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert {name for name in before if before[name] != after[name]} == {
        "model.safetensors",
        "tiny_model.json",
    }


def test_global_random_state_is_untouched(tmp_path):
    state = torch.get_rng_state()

    build_tiny_model(tmp_path / "a", vocab_size=300)

    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architectures_load_with_the_requested_sizes(tmp_path, architecture):
    build_tiny_model(
        tmp_path / "m", vocab_size=300, hidden_size=96, num_layers=3, head_dim=32,
        architecture=architecture,
    )  # fmt: skip

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")

    assert model.config.model_type == MODEL_TYPES.get(architecture, architecture)
    assert model.lm_head.weight.shape == (300, 96)
    assert len(model.model.layers) == 3
    assert model.model.layers[0].self_attn.head_dim == 32


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_output_layer_is_the_embedding_where_real_small_models_share_it(tmp_path, architecture):
    build_tiny_model(tmp_path / "m", vocab_size=300, architecture=architecture)

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")

    is_tied = model.lm_head.weight is model.get_input_embeddings().weight
    assert is_tied == (architecture not in UNTIED)


@pytest.mark.parametrize(
    ("architecture", "windows"),
    [
        ("qwen3", [None, None, None]),
        ("gemma3", [SLIDING_WINDOW, None, SLIDING_WINDOW]),
        ("mistral", [None, None, None]),
        ("mistral_sliding", [SLIDING_WINDOW] * 3),
    ],
)
def test_layers_have_the_windows_of_their_family(tmp_path, architecture, windows):
    build_tiny_model(tmp_path / "m", vocab_size=300, num_layers=3, architecture=architecture)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")

    with watched_windows() as found:
        model(torch.arange(4)[None])

    assert found == windows


@contextmanager
def watched_windows():
    """Note the window that each layer hands to its attention."""
    found = []
    original = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def watch(*arguments, **options):
        found.append(options.get("sliding_window"))
        return original(*arguments, **options)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = watch
    try:
        yield found
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def test_mixture_of_experts_sends_each_token_to_two_of_eight(tmp_path):
    build_tiny_model(tmp_path / "m", vocab_size=300, architecture="qwen3_moe")

    block = AutoModelForCausalLM.from_pretrained(tmp_path / "m").model.layers[0].mlp
    _, weight_NK, expert_NK = block.gate(torch.randn(5, 64))

    assert block.experts.num_experts == 8
    assert expert_NK.shape == (5, 2)
    torch.testing.assert_close(weight_NK.sum(1), torch.ones(5))


def test_positions_of_llama_3_are_stretched(tmp_path):
    frequencies = []
    for architecture in ("llama", "llama3"):
        build_tiny_model(tmp_path / architecture, vocab_size=300, architecture=architecture)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / architecture)
        frequencies.append(model.model.rotary_emb.inv_freq)

    plain, stretched = frequencies
    base = 500_000.0 ** -(torch.arange(0, 64, 2) / 64)
    torch.testing.assert_close(stretched[0], base[0])
    torch.testing.assert_close(stretched[-1], base[-1] / 8)
    assert not torch.equal(plain, stretched)


@pytest.mark.parametrize("hidden_size", [32, 65, 160], ids=["one head", "prime-like", "five heads"])
def test_any_width_makes_a_model_that_runs(tmp_path, hidden_size):
    build_tiny_model(tmp_path / "m", vocab_size=300, hidden_size=hidden_size, architecture="gemma3")

    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")

    assert model(torch.arange(4)[None]).logits.shape == (1, 4, 300)


def test_special_tokens_are_chat_ml(tokenizer):
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert len(tokenizer.encode("<|im_start|>user")) > 1
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") == tokenizer.encode("<|im_start|>")[0]


def test_any_text_survives_a_round_trip(tokenizer):
    text = "def f(x):\n\treturn 'grüße 👩‍👧'  # 日本\n"

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_template_writes_chat_ml(tokenizer):
    text = tokenizer.apply_chat_template(MESSAGES[:1], tokenize=False, add_generation_prompt=True)

    assert text == "<|im_start|>user\nWhat is ünïcode?<|im_end|>\n<|im_start|>assistant\n"


def test_template_marks_what_the_assistant_says_with_its_end(tokenizer):
    encoded = tokenizer.apply_chat_template(
        MESSAGES, return_assistant_tokens_mask=True, return_dict=True
    )

    marked = [
        token
        for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
        if mask
    ]
    assert tokenizer.decode(marked) == "A table of characters.\n日本<|im_end|>"


def test_earlier_tiny_model_is_replaced(tmp_path):
    build_tiny_model(tmp_path / "m", vocab_size=300)

    build_tiny_model(tmp_path / "m", vocab_size=320)

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "m").config.vocab_size == 320
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(UserError, match="holds other files"):
        build_tiny_model(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "gpt5"}, r"'gpt5'; it must be one of qwen3, qwen2, llama"),
        ({"vocab_size": 100}, "`vocab_size` is 100"),
        ({"hidden_size": 0}, "`hidden_size` is 0"),
        ({"num_layers": 0}, "`num_layers` is 0"),
        ({"head_dim": 7}, "`head_dim` is 7"),
    ],
)
def test_arguments_that_cannot_work_are_named_and_nothing_is_written(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        build_tiny_model(tmp_path / "m", **changes)

    assert list(tmp_path.iterdir()) == []

"""A random language model small enough for tests and demonstrations, with a tokenizer and a chat
template.

Nothing is downloaded: the tokenizer is a byte-level BPE trained on text that every Python
installation carries, and the weights are random. The same arguments write the same bytes (with the
same versions of Python and of the libraries). The model is useless for language and exact for
mechanics: it has a real architecture, an end-of-sequence token, and a ChatML template that marks
the assistant's tokens. What sets a family apart is kept and made small enough to show in short
sequences: windows of 16 positions, two experts of eight, positions scaled from 1,024 on.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import doctest
import inspect
import json
import optparse
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GenerationConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from mint_runtime.errors import UserError
from mint_runtime.model.load import without_progress_bars

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MAX_CONTEXT = 8192
SLIDING_WINDOW = 16
_RECORD = "tiny_model.json"
# Byte-level BPE starts from the 256 bytes; the special tokens come on top.
_SMALLEST_VOCAB = 256 + 3

_Options = dict[str, Any]


def _qwen3(options: _Options) -> Any:
    return Qwen3Config(**options)


def _qwen2(options: _Options) -> Any:
    return Qwen2Config(**options)


def _llama(options: _Options) -> Any:
    return LlamaConfig(**options)


def _llama3(options: _Options) -> Any:
    """Llama 3.1 and later: low frequencies of the rotary positions are stretched."""
    factor = 8.0
    positions = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": int(MAX_CONTEXT / factor),
    }
    return LlamaConfig(**options, rope_parameters=positions)


def _gemma3(options: _Options) -> Any:
    """Windowed and full layers in turn, and a softmax scale that is not that of the head width."""
    kinds = ("sliding_attention", "full_attention")
    return Gemma3TextConfig(
        **options,
        layer_types=[kinds[layer % 2] for layer in range(options["num_hidden_layers"])],
        sliding_window=SLIDING_WINDOW,
        query_pre_attn_scalar=options["hidden_size"] // options["num_attention_heads"],
    )


def _mistral(options: _Options) -> Any:
    return MistralConfig(**{**options, "tie_word_embeddings": False}, sliding_window=None)


def _mistral_sliding(options: _Options) -> Any:
    return MistralConfig(**{**options, "tie_word_embeddings": False}, sliding_window=SLIDING_WINDOW)


def _qwen3_moe(options: _Options) -> Any:
    return Qwen3MoeConfig(
        **{**options, "tie_word_embeddings": False},
        moe_intermediate_size=max(1, options["hidden_size"] // 2),
        num_experts=8,
        num_experts_per_tok=2,
        norm_topk_prob=True,
    )


ARCHITECTURES: Mapping[str, Callable[[_Options], Any]] = {
    "qwen3": _qwen3,
    "qwen2": _qwen2,
    "llama": _llama,
    "llama3": _llama3,
    "gemma3": _gemma3,
    "mistral": _mistral,
    "mistral_sliding": _mistral_sliding,
    "qwen3_moe": _qwen3_moe,
}
"""Maker of the transformers config of each family, from the options all families share."""

CHAT_TEMPLATE = textwrap.dedent(
    """\
    {%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['role'] == 'assistant' %}
    {%- generation %}{{- message['content'] + '<|im_end|>' }}{%- endgeneration %}
    {%- else %}
    {{- message['content'] + '<|im_end|>' }}
    {%- endif %}
    {{- '\\n' }}
    {%- endfor %}
    {%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- endif %}
    """
)


def build_tiny_model(
    directory: Path,
    *,
    vocab_size: int = 1024,
    hidden_size: int = 64,
    num_layers: int = 2,
    head_dim: int = 64,
    seed: int = 0,
    architecture: str = "qwen3",
) -> None:
    """Write a random model and its tokenizer to `directory`, which appears whole or not at all.

    Args:
        directory: a folder that does not exist, is empty, or holds an earlier tiny model, which is
            replaced.
        vocab_size: rows of the embedding; the tokenizer uses as many as its training text fills.
        hidden_size: width of the residual stream.
        num_layers: number of transformer blocks.
        head_dim: width of one attention head; 32 and above can be loaded by vLLM.
        seed: decides the weights.
        architecture: a key of `ARCHITECTURES`. Mistral and the mixture of experts have an output
            layer of their own; in the others it is the embedding.

    Raises:
        UserError: an argument does not work, or the folder holds something else.
    """
    directory = Path(directory)
    arguments = {
        "architecture": architecture,
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "head_dim": head_dim,
        "seed": seed,
    }
    _check(directory, arguments)
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(
        tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}.", suffix=".partial")
    )
    try:
        partial.chmod(0o755)
        tokenizer = _tokenizer(vocab_size)
        _save_tokenizer(partial, tokenizer)
        _save_weights(partial, tokenizer, arguments)
        (partial / _RECORD).write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        partial.rename(directory)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _check(directory: Path, arguments: dict[str, Any]) -> None:
    if arguments["architecture"] not in ARCHITECTURES:
        raise UserError(
            f"`architecture` is {arguments['architecture']!r}; it must be one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    if arguments["vocab_size"] < _SMALLEST_VOCAB:
        raise UserError(
            f"`vocab_size` is {arguments['vocab_size']}; a byte-level tokenizer "
            f"needs {_SMALLEST_VOCAB}"
        )
    for name in ("hidden_size", "num_layers", "head_dim"):
        if arguments[name] < 1:
            raise UserError(f"`{name}` is {arguments[name]}; it must be at least 1")
    if arguments["head_dim"] % 2:
        raise UserError(f"`head_dim` is {arguments['head_dim']}; rotary positions need an even one")
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; name a folder")
    is_ours = (directory / _RECORD).is_file()
    if directory.is_dir() and not is_ours and any(directory.iterdir()):
        raise UserError(f"{directory} holds other files; name a new or empty folder")


def _tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # no hints upstream
        tokenizer_object=Tokenizer.from_str(_trained_tokenizer(vocab_size)),
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _save_tokenizer(directory: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the tokenizer so that transformers 4, which clients may have, reads it too."""
    tokenizer.save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    # The tokens themselves are in tokenizer.json, marked as special.
    config.pop("extra_special_tokens", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@cache
def _trained_tokenizer(vocab_size: int) -> str:
    """Return the tokenizer as JSON: training takes a second, and families share it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    trained: str = tokenizer.to_str()
    return trained


def _corpus() -> list[str]:
    """Return the source of some standard modules by line: half of it is English, in docstrings."""
    modules = (argparse, ast, difflib, doctest, inspect, optparse, textwrap)
    return [line for module in modules for line in inspect.getsource(module).splitlines()]


def _shared_options(tokenizer: PreTrainedTokenizerFast, arguments: dict[str, Any]) -> _Options:
    hidden_size = arguments["hidden_size"]
    # Heads share the width evenly, and each key head serves as many query heads as the others.
    num_heads = max(n for n in range(1, max(1, hidden_size // 32) + 1) if hidden_size % n == 0)
    return {
        "vocab_size": arguments["vocab_size"],
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": arguments["num_layers"],
        "num_attention_heads": num_heads,
        "num_key_value_heads": 1 if num_heads % 2 else num_heads // 2,
        "head_dim": arguments["head_dim"],
        "max_position_embeddings": MAX_CONTEXT,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _save_weights(
    directory: Path, tokenizer: PreTrainedTokenizerFast, arguments: dict[str, Any]
) -> None:
    config = ARCHITECTURES[arguments["architecture"]](_shared_options(tokenizer, arguments))
    # A forked generator: the caller's random state is not ours to move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(arguments["seed"])
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]  # as above
            config, dtype=torch.float32
        )
        # torch starts the row of the padding token at zero; a trained model has no such row.
        torch.nn.init.normal_(
            model.get_input_embeddings().weight.data[tokenizer.pad_token_id],
            std=config.initializer_range,
        )
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # as above
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    with without_progress_bars():
        model.save_pretrained(directory)

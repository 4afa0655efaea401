"""A random language model small enough for tests and demonstrations, with a tokenizer and a chat
template.

Nothing is downloaded: the tokenizer is a byte-level BPE trained on text that every Python
installation carries, and the weights are random. The same arguments write the same bytes (with the
same versions of Python and of the libraries). The model is useless for language and exact for
mechanics: it has a real architecture, tied embeddings, an end-of-sequence token, and a ChatML
template that marks the assistant's tokens.
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
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from mint_runtime.errors import UserError
from mint_runtime.model.load import without_progress_bars

ARCHITECTURES = {"qwen3": Qwen3Config, "qwen2": Qwen2Config, "llama": LlamaConfig}
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
MAX_CONTEXT = 8192
_RECORD = "tiny_model.json"
# Byte-level BPE starts from the 256 bytes; the special tokens come on top.
_SMALLEST_VOCAB = 256 + 3

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
        architecture: `qwen3`, `qwen2` or `llama`.

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
        tokenizer = _train_tokenizer(vocab_size)
        tokenizer.save_pretrained(partial)
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


def _train_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
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
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # no hints upstream
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _corpus() -> list[str]:
    """Return the source of some standard modules by line: half of it is English, in docstrings."""
    modules = (argparse, ast, difflib, doctest, inspect, optparse, textwrap)
    return [line for module in modules for line in inspect.getsource(module).splitlines()]


def _save_weights(
    directory: Path, tokenizer: PreTrainedTokenizerFast, arguments: dict[str, Any]
) -> None:
    num_heads = max(1, arguments["hidden_size"] // 32)
    config = ARCHITECTURES[arguments["architecture"]](
        vocab_size=arguments["vocab_size"],
        hidden_size=arguments["hidden_size"],
        intermediate_size=2 * arguments["hidden_size"],
        num_hidden_layers=arguments["num_layers"],
        num_attention_heads=num_heads,
        num_key_value_heads=max(1, num_heads // 2),
        head_dim=arguments["head_dim"],
        max_position_embeddings=MAX_CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
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

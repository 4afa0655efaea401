"""The closed list of things that differ when an original runs in a comparison.

Each entry of `OVERRIDES` is a sentence for the report and the function that brings it about, in the
process that imports this module's targets. Nothing else about the original is changed: not its
batches, order, schedule or seeds.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRECISION_FIELDS = ("fp16", "bf16", "fp16_full_eval", "bf16_full_eval", "tf32")
GPU_FIELDS = ("use_liger_kernel", "use_liger_loss", "torch_compile")
SERVED_GENERATION_FIELDS = (
    *("use_vllm", "use_transformers_paged", "use_transformers_continuous_batching"),
)
SHUFFLES = ("shuffle_sequence_dict", "shuffle_tensor_dict")
"""How releases of TRL call what deals the completions of a batch to its optimizer steps."""

LOADING_KEYWORDS = (
    *("quantization_config", "load_in_4bit", "load_in_8bit", "device_map", "max_memory"),
    *("attn_implementation", "use_flash_attention_2", "torch_dtype"),
)
"""Keywords of `from_pretrained` that need an accelerator, or choose a kernel for one."""

CPU_ATTENTION = (None, "eager", "sdpa")
"""Attention implementations that run anywhere."""

EIGHT_BIT_OPTIMIZERS = ("8bit", "paged", "bnb")


def before(owner: Any, name: str, adjust: Callable[..., None]) -> None:
    """Make a method call `adjust(self)` first."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        adjust(self)
        return original(self, *args, **kwargs)

    setattr(owner, name, wrapped)


def on_cpu(_output: Path) -> None:
    """Train on the CPU, with the kernels and the optimizer that exist there."""

    def adjust(arguments: Any) -> None:
        arguments.use_cpu = True
        for field in GPU_FIELDS:
            if getattr(arguments, field, None):
                setattr(arguments, field, False)
        optimizer = str(getattr(arguments.optim, "value", arguments.optim))
        if any(mark in optimizer for mark in EIGHT_BIT_OPTIMIZERS) and "adam" in optimizer:
            arguments.optim = "adamw_torch"

    before(_training_arguments(), "__post_init__", adjust)


def in_float32(_output: Path) -> None:
    """Load every model in float32, unquantized."""
    transformers = importlib.import_module("transformers")
    torch = importlib.import_module("torch")
    parse = importlib.import_module("packaging.version").parse
    # The older name is deprecated, and the newer one unknown to older releases.
    is_new = parse(transformers.__version__) >= parse("4.56")
    keyword = "dtype" if is_new else "torch_dtype"
    model_class = transformers.PreTrainedModel
    load = model_class.from_pretrained.__func__

    @functools.wraps(load)
    def load_float32(cls: Any, *args: Any, **kwargs: Any) -> Any:
        kept = {key: value for key, value in kwargs.items() if key not in LOADING_KEYWORDS}
        _plain(kept.get("config"))
        return load(cls, *args, **(kept | {keyword: torch.float32}))

    model_class.from_pretrained = classmethod(load_float32)
    # The checks of this record ask for a library that only serves GPUs.
    transformers.BitsAndBytesConfig.post_init = lambda _self: None


def _plain(config: Any) -> None:
    """Take out of a model's configuration what an auto class has already put there."""
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if getattr(config, "_attn_implementation", None) not in CPU_ATTENTION:
        config._attn_implementation = None


def without_mixed_precision(_output: Path) -> None:
    """Compute in the precision of the weights."""
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"

    def adjust(arguments: Any) -> None:
        for field in PRECISION_FIELDS:
            if getattr(arguments, field, None):
                setattr(arguments, field, False)

    before(_training_arguments(), "__post_init__", adjust)


def offline(_output: Path) -> None:
    """Push nothing. Loading is kept offline by the environment of the process."""
    before(_training_arguments(), "__post_init__", lambda self: setattr(self, "push_to_hub", False))


def without_trackers(_output: Path) -> None:
    """Report to no tracking service."""
    before(_training_arguments(), "__post_init__", lambda self: setattr(self, "report_to", "none"))


def redirected(output: Path) -> None:
    """Keep what training writes inside the comparison's folder."""

    def adjust(arguments: Any) -> None:
        for field in ("output_dir", "logging_dir"):
            path = getattr(arguments, field, None)
            if path is not None and Path(path).is_absolute():
                setattr(arguments, field, str(output / Path(path).name))

    before(_training_arguments(), "__post_init__", adjust)


def without_dropout(_output: Path) -> None:
    """Set the dropout of adapters and of the model to 0."""
    peft = importlib.import_module("peft")
    torch = importlib.import_module("torch")

    def clear(config: Any) -> None:
        config.lora_dropout = 0.0

    before(peft.LoraConfig, "__post_init__", clear)

    def before_training(trainer: Any) -> None:
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0

    before(importlib.import_module("transformers").Trainer, "train", before_training)


def plain_generation(_output: Path) -> None:
    """Generate completions with `model.generate`, which needs no accelerator."""

    def adjust(arguments: Any) -> None:
        for field in SERVED_GENERATION_FIELDS:
            if getattr(arguments, field, None):
                setattr(arguments, field, False)

    before(_training_arguments(), "__post_init__", adjust)


def in_order(_output: Path) -> None:
    """Leave the completions of a batch where they are.

    TRL deals them out by the global random state, which everything else in the process moves on:
    no other program could do the same.
    """
    owner = importlib.import_module("trl.trainer.utils")
    for name in SHUFFLES:
        if hasattr(owner, name):
            setattr(owner, name, lambda batch: batch)


def _training_arguments() -> Any:
    return importlib.import_module("transformers").TrainingArguments


OVERRIDES: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("CPU, without kernels and 8-bit optimizers made for GPUs", on_cpu),
    ("float32 weights, unquantized", in_float32),
    ("no mixed precision", without_mixed_precision),
    ("offline, nothing is pushed", offline),
    ("trackers off", without_trackers),
    ("absolute output folders redirected", redirected),
    ("dropout 0", without_dropout),
    ("completions generated by transformers, not by vLLM", plain_generation),
    ("completions of a batch kept in the order of their prompts", in_order),
)


def apply_overrides(output: Path) -> None:
    """Put every override in place. Call once, before the script runs."""
    for _sentence, apply in OVERRIDES:
        apply(output)

"""What a launcher says of hardware, turned into the command that serves the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mint_migrate.rules.launched.settings import Settings

DEFAULT_MAX_RANK = 128
"""Largest rank that `mint-runtime serve` takes without being told."""


def suggest_serving(
    settings: Settings, *, model: str, counts: Sequence[str], dtype: str = "bfloat16"
) -> None:
    """Tell how to serve the model of a launch.

    Args:
        settings: the options of the launch; `config.lora_rank` is a field by now.
        model: option that names the model.
        counts: options whose product is the number of GPUs of the original.
        dtype: type of the weights that the original sampled with.
    """
    name = settings.value(model)
    shown = str(name.data) if name.is_known else "MODEL"
    words = ["mint-runtime serve", f"--base-model {shown}", "--device cuda", f"--dtype {dtype}"]
    rank = settings.fields.get("lora_rank")
    if rank is not None and rank.default.isdigit() and int(rank.default) > DEFAULT_MAX_RANK:
        words.append(f"--max-lora-rank {rank.default}")
    numbers = [settings.value(key).data for key in counts if settings.is_given(key)]
    known = [number for number in numbers if isinstance(number, int)]
    lead = ""
    if numbers and len(known) == len(numbers):
        lead = f"the original asks for {math.prod(known)} GPUs; "
    settings.notices.append(f"{lead}to run the result on your own hardware: `{' '.join(words)}`")

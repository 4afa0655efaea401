"""The imports of a script that is written whole: those of the names it reads and does not bind."""

from __future__ import annotations

from mint_migrate.check.names import undefined_names

_MODULES = frozenset(
    {
        *("argparse", "ast", "asyncio", "importlib", "inspect", "itertools", "json", "math", "os"),
        *("random", "re", "sys", "time", "copy", "pickle", "mint", "torch", "wandb", "datasets"),
    }
)
_NAMES = {
    "ThreadPoolExecutor": "from concurrent.futures import ThreadPoolExecutor",
    "defaultdict": "from collections import defaultdict",
    "dataclass": "from dataclasses import dataclass",
    "field": "from dataclasses import field",
    "fields": "from dataclasses import fields",
    "Path": "from pathlib import Path",
    "Any": "from typing import Any",
    "AutoTokenizer": "from transformers import AutoTokenizer",
    "Callable": "from collections.abc import Callable",
    "Sequence": "from collections.abc import Sequence",
    "SimpleNamespace": "from types import SimpleNamespace",
    "types": "from mint import types",
    "Iterator": "from collections.abc import Iterator",
    "load_dataset": "from datasets import load_dataset",
    "load_from_disk": "from datasets import load_from_disk",
    "concatenate_datasets": "from datasets import concatenate_datasets",
    "interleave_datasets": "from datasets import interleave_datasets",
    "np": "import numpy as np",
    "SummaryWriter": "from torch.utils.tensorboard import SummaryWriter",
    "spec_from_file_location": "from importlib.util import spec_from_file_location",
    "module_from_spec": "from importlib.util import module_from_spec",
    "default_compute_score": "from verl.utils.reward_score import default_compute_score",
    "urlopen": "from urllib.request import urlopen",
    "Request": "from urllib.request import Request",
}


def imports_of(text: str) -> tuple[str, ...]:
    """Return the import statements that *text* needs, one name each; unknown names have none."""
    missing = undefined_names(text)
    plain = [f"import {name}" for name in missing if name in _MODULES]
    return (*plain, *(_NAMES[name] for name in missing if name in _NAMES))

"""Small supervised trainings of verl: their data, their launches, and the original's run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from support.environments import REQUIREMENTS, environment
from support.openrlhf_rows import Training, make_rows, training_of
from support.tiny_folder import tiny_folder
from support.verl_launch import LAUNCH, launched, script_of

ENTRY = "verl.trainer.sft_trainer"
BATCH, NUM_ROWS = 8, 21
CHAT_TEMPLATE = """\
{%- if messages[0]['role'] != 'system' or tools -%}
<|im_start|>system
{{ 'count' if enable_thinking else 'say' }}
{%- for one in tools or [] %} {{ one['name'] }}{% endfor %}<|im_end|>
{% endif -%}
{%- for one in messages -%}
<|im_start|>{{ one['role'] }}
{{ one['content'] }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}world{% endif %}{% endif -%}
"""
"""Puts its own words before a conversation, names tools, and has a switch."""


def write_model(folder: Path) -> Path:
    """Write a tokenizer whose chat template does what those of real models do."""
    shutil.copytree(tiny_folder(), folder)
    path = folder / "chat_template.jinja"
    path.write_text(CHAT_TEMPLATE, encoding="utf-8")
    settings = folder / "tokenizer_config.json"
    given = json.loads(settings.read_text(encoding="utf-8"))
    given.pop("chat_template", None)
    settings.write_text(json.dumps(given), encoding="utf-8")
    return folder


def write_data(folder: Path) -> None:
    """Write the files that launches name."""
    for name, count, seed in (("train", NUM_ROWS, 1), ("val", 2 * BATCH + 3, 3)):
        chats = [row["chat"] for row in make_rows(count, seed)]
        for index in range(0, count, 4):
            chats[index] = [{"role": "system", "content": "count"}, *chats[index]]
        rows = [{"messages": chat} for chat in chats]
        Dataset.from_list(rows).to_parquet(str(folder / f"{name}.parquet"))
        switched = [{**row, "enable_thinking": i % 2 == 0} for i, row in enumerate(rows)]
        Dataset.from_list(switched).to_parquet(str(folder / f"{name}_switched.parquet"))
        tools = [{"name": "tree"}, {"name": "oak"}]
        told = [{**row, "tools": tools if i % 2 else []} for i, row in enumerate(rows)]
        Dataset.from_list(told).to_parquet(str(folder / f"{name}_tools.parquet"))


def converted(overrides: Mapping[str, object]) -> str:
    """Return the script of a launch."""
    return script_of(launched({**dict.fromkeys(LAUNCH), **overrides}, entry=ENTRY))


def theirs(folder: Path, model: Path, cases: Sequence[Mapping[str, object]]) -> Iterator[Training]:
    """Run verl's own trainer on all cases, and yield what it leaves behind."""
    jobs = [[f"{key}={value}" for key, value in case.items()] for case in cases]
    local = ["data.num_workers=0", "data.max_token_len_per_gpu=300"]
    (folder / "cases.json").write_text(
        json.dumps([[*job, *local] for job in jobs]), encoding="utf-8"
    )
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    files = [str(model), str(folder / "cases.json"), str(folder)]
    done = subprocess.run(
        [str(environment("verl")), str(REQUIREMENTS / "verl_sft.py"), *files],
        env={**variables, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for number in range(len(cases)):
        with np.load(folder / f"{number}.npz") as arrays:
            yield training_of(dict(arrays))

"""The emitted `SampledModel` gives what `generate` of transformers gives on the same weights."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.scripts import converted, migrated
from support.server import running_client, running_server
from support.tiny import build_small

pytestmark = pytest.mark.parity

SCRIPT = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

model = AutoModelForCausalLM.from_pretrained("tiny")
print(model.generate(input_ids=None))
trainer = SFTTrainer(model, SFTConfig("out"), train_dataset=load_dataset("acme/chats"))
trainer.train()
"""
PROMPTS = ["one", "two three four five", "é"]
CALLS = """
import torch, mint
from mint import types
from transformers import AutoTokenizer
{definition}
tokenizer = AutoTokenizer.from_pretrained({folder!r}, padding_side="left")
batch = tokenizer({prompts!r}, return_tensors="pt", padding=True)
model = SampledModel(mint.ServiceClient().create_sampling_client(base_model="tiny"))
result = {{
    "greedy": model.generate(**batch, max_new_tokens=12).tolist(),
    "several": list(
        model.generate(**batch, max_new_tokens=3, do_sample=True, num_return_sequences=2).shape
    ),
}}
"""


def test_greedy_text_is_that_of_transformers_and_shapes_are_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = build_small(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)  # where the client finds the tokenizer of "tiny"
    tree = ast.parse(converted(migrated(SCRIPT)))
    found = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    calls = CALLS.format(definition=ast.unparse(found), folder=str(folder), prompts=PROMPTS)
    with running_server(folder, tmp_path / "state") as server, running_client(server.url) as client:
        ours = client.run(calls)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True)
    theirs = AutoModelForCausalLM.from_pretrained(folder).generate(
        **batch, max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.eos_token_id
    )
    assert ours["greedy"] == theirs.tolist()
    assert ours["several"] == [6, batch["input_ids"].shape[1] + 3]

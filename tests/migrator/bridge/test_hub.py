"""The stand-in hub, asked by the real libraries in processes of their own."""

import json
import os
import subprocess
import sys

import pytest
from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.hub import StandInHub, add_datasets, add_models
from mint_migrate.bridge.names import DatasetRequest
from support.tiny_folder import tiny_folder

SPLITS = {
    "train": ({"text": "one"}, {"text": "two"}, {"text": "three"}),
    "test": ({"text": "four"},),
}
REQUESTS = (
    DatasetRequest(path="acme/Chats"),
    DatasetRequest(path="imdb"),
    DatasetRequest(path="openai/gsm8k", config="main"),
    DatasetRequest(path="acme/logs", data_files="a.jsonl"),
    DatasetRequest(path="acme/more", data_dir="sub"),
)


def ask(hub: StandInHub, code: str, cwd) -> object:
    """Return what a program prints as JSON on its last line, run with the hub."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hub.apply_to(os.environ | {"HF_HUB_CACHE": "/nowhere", "OMP_NUM_THREADS": "1"}),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> StandInHub:
    """Return a hub with one model and the data sets above."""
    hub = StandInHub(root=tmp_path_factory.mktemp("hub"))
    add_datasets(hub, REQUESTS, SPLITS)
    add_models(hub, {"acme/Tiny-0.6B": tiny_folder(), "gpt2": tiny_folder()}, revisions=["v1"])
    return hub


def test_every_way_to_load_a_data_set_is_answered(hub, tmp_path):
    code = """
import json
from datasets import load_dataset
streamed = load_dataset("imdb", split="train", streaming=True)
print(json.dumps({
    "split": load_dataset("acme/Chats", split="train")["text"][:],
    "slice": load_dataset("imdb", split="train[:2]")["text"][:],
    "config": load_dataset("openai/gsm8k", "main", split="test")["text"][:],
    "splits": sorted(load_dataset("acme/logs", data_files="a.jsonl")),
    "folder": load_dataset("acme/more", data_dir="sub", split="train").num_rows,
    "streamed": [row["text"] for row in streamed],
}))
"""
    assert ask(hub, code, tmp_path) == {
        "split": ["one", "two", "three"],
        "slice": ["one", "two"],
        "config": ["four"],
        "splits": ["test", "train"],
        "folder": 3,
        "streamed": ["one", "two", "three"],
    }


def test_models_and_tokenizers_load_by_name_and_revision(hub, tmp_path):
    code = """
import json
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained("acme/Tiny-0.6B")
tokenizer = AutoTokenizer.from_pretrained("gpt2")
processor = AutoProcessor.from_pretrained("acme/Tiny-0.6B")
print(json.dumps({
    "type": AutoConfig.from_pretrained("acme/Tiny-0.6B", revision="v1").model_type,
    "name": model.config._name_or_path,
    "vocabularies": len(tokenizer) == len(processor) <= model.config.vocab_size,
    "chat": tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False),
}))
"""
    answer = ask(hub, code, tmp_path)
    assert answer["type"] == "qwen3"
    assert answer["name"] == "acme/Tiny-0.6B"
    assert answer["vocabularies"]
    assert "hi" in answer["chat"]


def test_rows_that_the_library_refuses_are_reported_in_its_words(tmp_path):
    hub = StandInHub(root=tmp_path)
    with pytest.raises(CannotRun, match=r"could not be written:\n(.|\n)*json\.py"):
        add_datasets(hub, REQUESTS[:1], {"train": ()})

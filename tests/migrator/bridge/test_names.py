"""Model and data set names in a script's text."""

import pytest
from mint_migrate.bridge.names import DatasetRequest, find_names


def test_names_in_loading_calls_are_found_whatever_they_look_like():
    names = find_names(
        "from datasets import load_dataset\n"
        "NAME = 'gpt2'\n"
        "tokenizer = AutoTokenizer.from_pretrained(NAME)\n"
        "data = load_dataset('imdb', split='train[:50%]+unsupervised')\n"
    )
    assert "gpt2" in names.models
    assert DatasetRequest(path="imdb") in names.datasets
    assert set(names.splits) == {"train", "test", "validation", "unsupervised"}


def test_slice_of_a_split_asks_for_the_split():
    names = find_names("load_dataset('imdb', split='unsupervised[:5%]')")
    assert "unsupervised" in names.splits


def test_any_string_like_a_hub_id_is_both_a_model_and_a_data_set():
    names = find_names("THING = pick('acme/thing')")
    assert "acme/thing" in names.models
    assert DatasetRequest(path="acme/thing") in names.datasets
    assert not names.loads_from_hub


def test_configuration_and_files_of_a_data_set_are_part_of_the_request():
    names = find_names(
        "load_dataset('openai/gsm8k', 'main')\n"
        "load_dataset('acme/logs', data_files='a.jsonl')\n"
        "load_dataset('acme/more', data_dir='sub')\n"
    )
    assert names.datasets[:3] == (
        DatasetRequest(path="openai/gsm8k", config="main"),
        DatasetRequest(path="acme/logs", data_files="a.jsonl"),
        DatasetRequest(path="acme/more", data_dir="sub"),
    )
    assert names.loads_from_hub


@pytest.mark.parametrize(
    "source",
    [
        "load_dataset('json', data_files='d/a.jsonl')",
        "load_dataset('json', data_files={'train': 'd/a.jsonl'})",
        "load_dataset('csv', data_files=['d/a.jsonl'])",
        "FILES = {'train': 'd/a.jsonl'}\nload_dataset('json', data_files=FILES)",
        "Dataset.from_json('d/a.jsonl')",
        "rows = open('d/a.jsonl').read()",
    ],
)
def test_local_data_file_is_a_file_and_not_a_data_set(source):
    names = find_names(source)
    assert names.data_files == ("d/a.jsonl",)
    assert all(request.path not in {"json", "csv"} for request in names.datasets)


def test_base_model_of_a_converted_script_is_found_through_its_settings():
    names = find_names(
        "args = SimpleNamespace(base_model='Qwen/Qwen3-0.6B')\n"
        "client = mint.ServiceClient().create_lora_training_client(base_model=args.base_model)\n"
    )
    assert names.base_models == ("Qwen/Qwen3-0.6B",)


@pytest.mark.parametrize("keyword", ["reference_model", "teacher_model"])
def test_another_model_beside_the_trained_one_is_served_too(keyword):
    source = f"train(config, base_model='acme/base', rank=8, {keyword}='acme/other')"
    assert find_names(source).base_models == ("acme/base", "acme/other")


def test_command_line_adds_names_and_data_files(tmp_path):
    (tmp_path / "run.yaml").write_text("model:\n  name: acme/from-yaml\n")
    names = find_names(
        "x = 1", ["--model=acme/a", "acme/b", "run.yaml", "d.jsonl"], folder=tmp_path
    )
    assert {"acme/a", "acme/b", "acme/from-yaml"} <= set(names.models)
    assert names.data_files == ("d.jsonl",)


@pytest.mark.parametrize(
    "text", ["./model", "a/b/c", "https://x.org/a", "two words", "{owner}/{name}"]
)
def test_paths_urls_and_sentences_are_not_names(text):
    names = find_names(f"x = {text!r}")
    assert text not in names.models

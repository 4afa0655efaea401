"""The release a script was written for comes from a flag, the project, or the keywords it uses."""

from __future__ import annotations

import pytest
from support.scripts import SFT, decision, migrated, sft


def test_without_evidence_it_is_the_newest_release():
    result = sft()
    assert result.version == "1.16.0"
    assert result.evidence == ("the newest recorded release has every keyword used",)


@pytest.mark.parametrize(
    ("config", "trainer", "before"),
    [
        ("max_seq_length=64", "", (0, 20)),
        ("evaluation_strategy='no'", "", (0, 19)),
        ("", "tokenizer=None", (0, 16)),
        ("", "dataset_text_field='text'", (0, 13)),
        ("overwrite_output_dir=True", "", (1, 0)),
        ("no_cuda=True", "", (1, 0)),
    ],
)
def test_removed_keywords_date_a_script(config, trainer, before):
    result = sft(config=f"output_dir='o', save_strategy='no', {config}", trainer=trainer)
    assert tuple(int(part) for part in result.version.split(".")[:2]) < before
    assert "in no later release" in result.evidence[0]


def test_under_unsloth_the_tokenizers_name_dates_nothing():
    text = "import unsloth\n" + SFT.format(
        config="", lora="r=8", trainer="tokenizer=None", after=""
    )
    assert migrated(text).version == "1.16.0"


def test_a_keyword_of_no_release_changes_nothing():
    result = sft(config="output_dir='o', save_strategy='no', frobnicate=1")
    assert result.version == "1.16.0"
    assert decision(result, "trl.SFTConfig.frobnicate").code == "MM290"


def test_options_of_a_class_from_another_module_date_nothing():
    result = migrated("""
        from arguments import ScriptArguments
        from datasets import load_dataset
        from transformers import HfArgumentParser
        from trl import SFTConfig, SFTTrainer

        own, config = HfArgumentParser((ScriptArguments, SFTConfig)).parse_args_into_dataclasses()
        rows = load_dataset(own.data, split="train")
        trainer = SFTTrainer(own.model, args=config, train_dataset=rows)
        trainer.train()
    """)
    assert result.version == "1.16.0"
    assert result.text is not None


def test_a_release_given_wins_over_the_keywords():
    result = sft(
        config="output_dir='o', save_strategy='no', max_seq_length=8", source_version="0.19.1"
    )
    assert (result.version, result.evidence) == ("0.19.1", ("given with --source-version",))


def test_the_projects_pin_wins_over_the_keywords():
    result = sft(project_version=("0.24.0", "trl==0.24.0 in requirements.txt"))
    assert (result.version, result.evidence) == ("0.24.0", ("trl==0.24.0 in requirements.txt",))


def test_a_release_given_wins_over_the_projects_pin():
    result = sft(project_version=("0.24.0", "pin"), source_version="0.20.0")
    assert result.version == "0.20.0"


@pytest.mark.parametrize(
    ("version", "default"),
    [("0.19.1", "2e-05"), ("1.16.0", "2e-05")],
)
def test_defaults_are_those_of_the_release(version, default):
    assert f"learning_rate={default}" in (sft(source_version=version).text or "")

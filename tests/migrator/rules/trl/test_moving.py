"""`sync_ref_model`: snapshots of the policy as the reference, or a reason why not."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from trl import {name}Config, {name}Trainer


def brevity(completions, **kwargs):
    return [-len(text) for text in completions]


dataset = load_dataset("acme/rows", split="train")
trainer = {name}Trainer(
    model="Qwen/Qwen3-0.6B",
    args={name}Config(output_dir="o", beta=0.1, sync_ref_model=True, {config}),
    train_dataset=dataset,
    {trainer}
)
trainer.train()
"""
REWARDED = {"GRPO": "reward_funcs=brevity,", "RLOO": "reward_funcs=brevity,"}
ADAPTER = "peft_config=LoraConfig(r=8, lora_alpha=32, target_modules='all-linear'),"
HARD = "ref_model_mixup_alpha=1.0"
SNAPSHOT = """\
                reference_client = training_client.save_weights_and_get_sampling_client()"""
NAMES = ["DPO", "GRPO", "RLOO"]


def moving(name, config=HARD, *, trainer="", version="1.16.0"):
    """Migrate a script whose reference follows the policy."""
    given = trainer + REWARDED.get(name, "")
    text = SCRIPT.format(name=name, config=config, trainer=given)
    return migrated(text, source_version=version)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_copy_is_a_snapshot_of_the_policy(name):
    result = moving(name, f"{HARD}, ref_model_sync_steps=100")
    text = converted(result)
    assert "if done % config.ref_model_sync_steps == 0:\n" in text
    assert SNAPSHOT in text
    for option in ("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"):
        assert decision(result, f"trl.{name}Config.{option}").fidelity is Fidelity.EXACT


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_between_snapshots_are_written_out(name):
    assert "    ref_model_sync_steps=512,\n" in converted(moving(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", ["", "ref_model_mixup_alpha=0.6"])
def test_mixed_weights_are_refused_with_the_way_out(name, config):
    result = moving(name, config)
    assert result.text is None
    assert result.decisions[-1].code == "MM249"
    assert "`ref_model_mixup_alpha=1.0`" in result.decisions[-1].note


@pytest.mark.parametrize("name", NAMES)
def test_a_share_that_is_not_known_is_refused(name):
    result = moving(name, "ref_model_mixup_alpha=share")
    assert (result.text, result.decisions[-1].code) == (None, "MM292")


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_that_stays_leaves_no_code(name):
    text = SCRIPT.format(name=name, config=HARD, trainer=REWARDED.get(name, ""))
    stays = text.replace("sync_ref_model=True", "sync_ref_model=False")
    result = converted(migrated(stays, source_version="1.16.0"))
    assert SNAPSHOT not in result
    assert "ref_model_sync_steps" not in result


@pytest.mark.parametrize("name", ["GRPO", "RLOO"])
@pytest.mark.parametrize(("version", "moves"), [("0.27.2", False), ("1.16.0", True)])
def test_releases_that_moved_nothing_under_an_adapter_move_nothing(name, version, moves):
    result = moving(name, trainer=ADAPTER, version=version)
    assert (SNAPSHOT in converted(result)) is moves
    option = decision(result, f"trl.{name}Config.sync_ref_model")
    assert option.fidelity is Fidelity.EXACT
    assert ("moves nothing" in option.note) is not moves


def test_without_divergence_there_is_nothing_to_move():
    text = SCRIPT.format(name="GRPO", config=HARD, trainer=REWARDED["GRPO"])
    result = migrated(text.replace("beta=0.1", "beta=0.0"), source_version="1.16.0")
    assert SNAPSHOT not in converted(result)
    assert "no reference" in decision(result, "trl.GRPOConfig.sync_ref_model").note


def test_rows_held_out_are_asked_about_again():
    options = f"{HARD}, eval_strategy='steps', eval_steps=5"
    text = converted(moving("DPO", options, trainer="eval_dataset=dataset,"))
    assert f"{SNAPSHOT}\n                add_reference(reference_client, eval_rows)\n" in text
    assert '"reference" not in pair' not in text

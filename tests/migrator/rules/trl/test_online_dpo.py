"""Online DPO: two answers, the better one chosen; judges and reward models are refused."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from transformers import AutoTokenizer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer


def length(completions, **kwargs):
    return [-len(text) for text in completions]


prompts = load_dataset("acme/prompts", split="train")
trainer = OnlineDPOTrainer(
    model="Qwen/Qwen3-0.6B",
    args=OnlineDPOConfig(output_dir="out"{config}),
    processing_class=AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B"),
    train_dataset=prompts,
    {trainer},
)
trainer.train()
"""


def online(config: str = "", trainer: str = "reward_funcs=length") -> Migrated:
    """Migrate a small script with the given arguments in their places."""
    return migrated(SCRIPT.format(config=f", {config}", trainer=trainer))


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ('loss_type="ipo"', "1.0 / (2.0 * beta)"),
        ("beta=[0.3, 0.1]", "config.beta[min(epoch, len(config.beta) - 1)]"),
        ("missing_eos_penalty=1.0", "scores[i] -= config.missing_eos_penalty"),
        ("gradient_accumulation_steps=2", "losses.split(config.micro_batch_size)"),
        ("top_p=0.9", "top_p=config.top_p"),
        ("reward_weights=[2.0]", "config.reward_weights"),
    ],
)
def test_an_option_leaves_code_only_where_it_is_used(option: str, code: str) -> None:
    assert code in converted(online(option))
    assert code not in converted(online())


def test_a_list_of_one_strength_is_that_strength() -> None:
    assert "beta=0.3," in converted(online("beta=[0.3]"))


@pytest.mark.parametrize("name", ["judge", "reward_model"])
def test_what_scores_must_be_a_function(name: str) -> None:
    result = online(trainer=f"{name}=make_it()")
    assert result.text is None
    code = {"judge": "MM251", "reward_model": "MM250"}[name]
    assert {item.code for item in result.decisions} >= {code}


def test_without_anything_that_scores_nothing_is_written() -> None:
    assert online(trainer="callbacks=None").text is None


@pytest.mark.parametrize("config", ["", 'loss_type="ipo"', "beta=0.5"])
def test_reward_functions_and_data_keep_their_bytes(config: str) -> None:
    text = converted(online(config))
    assert (
        "def length(completions, **kwargs):\n    return [-len(text) for text in completions]"
        in text
    )
    assert 'prompts = load_dataset("acme/prompts", split="train")' in text


def test_evaluation_is_said_to_be_left_out() -> None:
    result = online('eval_strategy="steps"', trainer="reward_funcs=length, eval_dataset=prompts")
    for name in ("OnlineDPOConfig.eval_strategy", "OnlineDPOTrainer.eval_dataset"):
        found = decision(result, f"trl.experimental.online_dpo.{name}")
        assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM233")

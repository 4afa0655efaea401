"""RLOO in both forms: with reward functions, and with a reward model before 0.22."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

GROUPS = """
from datasets import load_dataset
from trl import RLOOConfig, RLOOTrainer


def length(completions, **kwargs):
    return [-len(text) for text in completions]


trainer = RLOOTrainer(
    model="Qwen/Qwen3-0.6B",
    reward_funcs=length,
    args=RLOOConfig(output_dir="out", per_device_train_batch_size=4{config}),
    train_dataset=load_dataset("acme/prompts", split="train"),
)
trainer.train()
"""
EPISODES = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RLOOConfig, RLOOTrainer


def length(texts):
    return [-len(text) for text in texts]


name = "Qwen/Qwen3-0.6B"
trainer = RLOOTrainer(
    config=RLOOConfig(output_dir="out"{config}),
    processing_class=AutoTokenizer.from_pretrained(name),
    policy=AutoModelForCausalLM.from_pretrained(name),
    ref_policy=AutoModelForCausalLM.from_pretrained(name),
    reward_model=length,
    train_dataset=load_dataset("acme/prompts", split="train"),
)
trainer.train()
"""


def groups(config: str = "") -> Migrated:
    """Migrate RLOO with reward functions."""
    return migrated(GROUPS.format(config=f", {config}"), source_version="1.16.0")


def episodes(config: str = "", version: str = "0.21.0") -> Migrated:
    """Migrate RLOO with what was called a reward model."""
    return migrated(EPISODES.format(config=f", {config}"), source_version=version)


def test_one_update_a_round_needs_no_ratio() -> None:
    text = converted(groups())
    assert 'loss_fn="importance_sampling"' in text
    assert "forward_backward_custom" not in text
    assert "epsilon" not in text.split('"""')[-1]


def test_a_round_that_is_used_twice_has_clipped_ratios() -> None:
    text = converted(groups("num_iterations=2, epsilon=0.1, epsilon_high=0.3"))
    assert "ratio.clamp(1.0 - config.epsilon, 1.0 + config.epsilon_high)" in text
    assert "forward_backward_custom" in text


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("reward_clip_range=(-1.0, 1.0)", "total.clamp(*config.reward_clip_range)"),
        ("normalize_advantages=True", "(advantages.std() + 1e-4)"),
        ("mask_truncated_completions=True", 'sequence.stop_reason == "length"'),
        ("reward_weights=[0.5]", "config.reward_weights"),
    ],
)
def test_an_option_leaves_code_only_where_it_is_used(option: str, code: str) -> None:
    assert code in converted(groups(option))
    assert code not in converted(groups())


def test_without_a_penalty_there_is_no_reference() -> None:
    assert "reference_client" not in converted(groups("beta=0.0"))
    assert "config.beta * torch.tensor([sample.kl" in converted(groups())


@pytest.mark.parametrize("config", ["", "num_iterations=2", "beta=0.0"])
def test_reward_functions_keep_their_bytes(config: str) -> None:
    kept = "def length(completions, **kwargs):\n    return [-len(text) for text in completions]\n"
    assert kept in converted(groups(config))


@pytest.mark.parametrize("config", ["", "rloo_k=8", "normalize_reward=True"])
def test_a_function_that_was_a_reward_model_keeps_its_bytes(config: str) -> None:
    result = episodes(config)
    kept = "def length(texts):\n    return [-len(text) for text in texts]\n"
    assert kept in converted(result)
    found = decision(result, "trl.RLOOTrainer.reward_model")
    assert found.fidelity is Fidelity.EXACT


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("normalize_reward=True", "scores.clamp(-config.reward_clip_range"),
        ("normalize_advantage=True", "(advantages.std() + 1e-8)"),
        ("num_mini_batches=2", "config.batch_size * config.num_mini_batches"),
        ("missing_eos_penalty=1.0", "config.missing_eos_penalty"),
    ],
)
def test_an_option_of_the_older_form_leaves_code_only_where_it_is_used(
    option: str, code: str
) -> None:
    assert code in converted(episodes(option))
    assert code not in converted(episodes())


def test_a_penalty_for_each_token_or_for_all_is_the_same_sum() -> None:
    found = decision(episodes("token_level_kl=True"), "trl.RLOOConfig.token_level_kl")
    assert found.fidelity is Fidelity.EXACT


def test_a_release_without_reward_models_is_not_believed() -> None:
    assert episodes(version="1.16.0").version == "0.24.0"

"""GMPO is GRPO with a loss of its own; numbers are in tests/parity."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from trl.experimental.gmpo import GMPOConfig, GMPOTrainer


def brevity(completions, **kwargs):
    return [-len(text) for text in completions]


trainer = GMPOTrainer(
    "Qwen/Qwen3-0.6B",
    brevity,
    GMPOConfig(output_dir="o", {config}),
    train_dataset=load_dataset("acme/prompts", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
"""


def gmpo(config: str = "", version: str = "1.16.0") -> Migrated:
    """Migrate a small script with GMPO."""
    return migrated(SCRIPT.format(config=config), source_version=version)


@pytest.mark.parametrize(
    ("config", "is_builtin"),
    [
        ("", True),
        ("mask_truncated_completions=False", True),
        ("beta=0.1", False),
        ("num_iterations=2", False),
        ("steps_per_generation=2", False),
        ("mask_truncated_completions=True", False),
    ],
)
def test_a_loss_of_the_server_is_taken_where_it_is_equal(config: str, is_builtin: bool) -> None:
    text = converted(gmpo(config))
    assert ('loss_fn="importance_sampling"' in text) is is_builtin
    assert ("def policy_loss(" in text) is not is_builtin
    assert ("def token_shares(" in text) is is_builtin


@pytest.mark.parametrize(
    ("config", "clip"),
    [
        ("num_iterations=2", "clamp(max=config.epsilon) if"),
        ("num_iterations=2", "clamp(min=-config.epsilon)"),
        ("num_iterations=2, epsilon_high=0.5", "clamp(max=config.epsilon_high) if"),
        ("beta=0.1", "ratio = torch.exp(moved.mean())"),
        ("beta=0.1, mask_truncated_completions=True", "(moved * mask).sum() / num_tokens"),
    ],
)
def test_ratios_are_clipped_in_log_space_where_they_can_differ_from_1(
    config: str, clip: str
) -> None:
    assert clip in converted(gmpo(config))


def test_its_wider_default_is_written_out() -> None:
    assert "    epsilon=0.4,\n" in converted(gmpo("num_iterations=2"))


@pytest.mark.parametrize(
    "config",
    [
        *("loss_type='dapo'", "importance_sampling_level='sequence'", "delta=2.0"),
        *("entropy_coef=0.01", "use_adaptive_entropy=True", "off_policy_mask_threshold=0.5"),
    ],
)
def test_what_this_trainer_never_reads_has_no_effect(config: str) -> None:
    result = gmpo(config)
    name = config.partition("=")[0]
    option = decision(result, f"trl.experimental.gmpo.GMPOConfig.{name}")
    assert (option.fidelity, option.target) == (Fidelity.EXACT, "nothing to do")
    assert converted(result).partition('"""')[2] == converted(gmpo()).partition('"""')[2]


def test_a_choice_of_tokens_by_their_entropy_is_refused() -> None:
    result = gmpo("top_entropy_quantile=0.2")
    assert (result.text, result.decisions[-1].code) == (None, "MM244")

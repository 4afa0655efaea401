"""TPO: what is written for its losses and rows; numbers are in tests/parity."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from trl.experimental.tpo import TPOConfig, TPOTrainer

dataset = load_dataset("acme/triples", split="train"){rows}
trainer = TPOTrainer(
    "Qwen/Qwen3-0.6B",
    TPOConfig(output_dir="o", save_strategy="no", {config}),
    train_dataset=dataset,
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
"""
TRIPLES = '.filter(lambda row: row["prompt"] and row["chosen"] != row["rejected"])'


def tpo(config: str = "", *, rows: str = TRIPLES, version: str = "1.16.0") -> Migrated:
    """Migrate a small script with TPO."""
    return migrated(SCRIPT.format(config=config, rows=rows), source_version=version)


@pytest.mark.parametrize(
    ("config", "shown", "absent"),
    [
        ("", "logsigmoid(config.beta * margins)", "tpo_l_gamma"),
        ("", "config.tpo_alpha * torch.cat(gold).mean()", "label_smoothing"),
        ("tpo_alpha=0.0", "for tokens in sequences[:2]:", "gold = "),
        ('loss_type="hinge"', "torch.relu(1 - config.beta * margins)", "logsigmoid"),
        ('loss_type="ipo"', "/ mask.sum().clamp(min=1)", "logsigmoid"),
        ('loss_type="tpo-l"', "- config.tpo_l_gamma / config.beta", "label_smoothing"),
        ("label_smoothing=0.1", "(1 - config.label_smoothing)", "tpo_l_gamma"),
        ('label_smoothing=0.1, loss_type="hinge"', "torch.relu", "label_smoothing"),
        ("tpo_alpha=weight", "tpo_alpha=weight,", "sequences[:2]"),
        ("max_length=None", "mask = [0.0] * start", "max_length"),
        ('truncation_mode="keep_end"', "tokens[-config.max_length :]", "[: config.max_length]"),
    ],
)
def test_only_what_the_options_ask_for_is_written(config: str, shown: str, absent: str) -> None:
    result = tpo(config)
    text = converted(result)
    assert shown in text
    assert absent not in text
    assert {item.fidelity for item in result.decisions} == {Fidelity.EXACT}


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("1.9.0", "start = len(prompt_tokens)"),
        ("1.16.0", "os.path.commonprefix([prompt_tokens, tokens])"),
    ],
)
def test_an_answer_starts_where_its_release_let_it_start(version: str, shown: str) -> None:
    assert shown in converted(tpo(version=version))


def test_a_prompt_that_the_script_does_not_show_may_be_missing() -> None:
    assert 'if "prompt" in row:' in converted(tpo(rows=""))
    assert 'if "prompt" in row:' not in converted(tpo())


def test_a_loss_that_is_not_known_is_refused() -> None:
    result = tpo('loss_type="simpo"')
    assert (result.text, result.decisions[-1].code) == (None, "MM221")

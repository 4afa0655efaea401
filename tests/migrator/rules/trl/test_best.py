"""The best checkpoint is loaded at the end, and early stopping stays, where the loss decides."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import LORA, SFT, converted, decision, migrated

STEPS = 'output_dir="out", eval_strategy="steps", eval_steps=4, save_steps=4'
BEST = f"{STEPS}, load_best_model_at_end=True"
EARLY = "callbacks=[EarlyStoppingCallback(early_stopping_patience=2)],"


def script(config: str, trainer: str = "") -> Migrated:
    text = SFT.format(
        config=config, lora=LORA, trainer=f"eval_dataset=dataset, {trainer}", after=""
    )
    return migrated(f"from transformers import EarlyStoppingCallback\n{text}")


def option(result: Migrated, name: str) -> Fidelity:
    return decision(result, f"trl.SFTConfig.{name}").fidelity


@pytest.mark.parametrize(
    "options",
    [
        "",
        ', metric_for_best_model="loss"',
        ', metric_for_best_model="eval_loss", greater_is_better=False',
    ],
)
def test_the_best_checkpoint_is_loaded_into_a_client_of_its_own(options):
    result = script(BEST + options)
    text = converted(result)
    assert "best_checkpoint = path if best_step == done else best_checkpoint" in text
    assert "training_client.load_state(best_checkpoint).result()" in text
    assert option(result, "load_best_model_at_end") is Fidelity.EXACT
    assert "TODO" not in text
    assert "TrainerState" not in text


@pytest.mark.parametrize(
    "config",
    [
        f'{BEST}, metric_for_best_model="accuracy"',
        f"{BEST}, greater_is_better=True",
        'output_dir="out", load_best_model_at_end=True',
        f'{BEST}, save_strategy="no"',
        f"{STEPS}, load_best_model_at_end=bool(dataset)",
    ],
)
def test_another_metric_or_no_evaluation_is_for_a_person(config):
    result = script(config)
    assert option(result, "load_best_model_at_end") is Fidelity.MANUAL
    assert "best_checkpoint" not in converted(result)
    assert "TODO[mint-migrate MM219]" in converted(result)


def test_the_best_checkpoint_is_not_deleted():
    result = script(f"{BEST}, save_total_limit=2")
    assert option(result, "save_total_limit") is Fidelity.APPROXIMATE
    assert "delete_checkpoint" not in converted(result)


def test_early_stopping_looks_at_the_best_loss_so_far():
    result = script(BEST, EARLY)
    text = converted(result)
    assert "state.best_metric, state.best_global_step = eval_loss, done" in text
    assert 'metric_for_best_model="eval_loss",' in text
    assert "EarlyStoppingCallback(early_stopping_patience=2)]" in text


@pytest.mark.parametrize(
    "config", ['output_dir="out"', f'{STEPS}, metric_for_best_model="eval_accuracy"']
)
def test_early_stopping_without_its_metric_is_for_a_person(config):
    result = script(config, EARLY)
    assert "call_event" not in converted(result)
    callback = decision(result, "trl.SFTTrainer.callbacks")
    assert callback.fidelity is Fidelity.MANUAL


@pytest.mark.parametrize("options", ["", ", load_best_model_at_end=False"])
def test_without_a_choice_nothing_is_kept_apart(options):
    text = converted(script(STEPS + options))
    assert "best" not in text.split("def train(")[1]

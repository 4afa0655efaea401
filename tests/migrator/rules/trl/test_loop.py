"""Length, evaluation, saving, logging and resuming of the loop, read off the configuration."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, sft

EVAL = "eval_dataset=dataset"


def text(config: str, trainer: str = "", **options: object) -> str:
    return converted(sft(config=f'output_dir="out", {config}', trainer=trainer, **options))


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("max_steps=5", "    num_steps = config.max_steps\n    output"),
        ("max_steps=5, num_train_epochs=2", "    num_steps = config.max_steps\n    output"),
        (
            "max_steps=-1",
            "    num_steps = math.ceil(config.num_train_epochs * steps_per_epoch)\n    output",
        ),
        (
            "num_train_epochs=2",
            "    num_steps = math.ceil(config.num_train_epochs * steps_per_epoch)\n",
        ),
        ("max_steps=n", "    if num_steps <= 0:\n"),
    ],
)
def test_the_length_of_training_is_steps_or_epochs_or_either(config, line):
    assert line in text(config)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ('eval_strategy="steps", eval_steps=7', "if done % config.eval_steps == 0:"),
        ('evaluation_strategy="steps", eval_steps=7', "if done % config.eval_steps == 0:"),
        (
            'eval_strategy="steps", eval_steps=0.25',
            "if done % max(1, math.ceil(num_steps * config.eval_steps)) == 0:",
        ),
        ('eval_strategy="steps", logging_steps=3', "    eval_steps=3,"),
        ('eval_strategy="steps", eval_steps=None, logging_steps=3', "    eval_steps=3,"),
        (
            'eval_strategy="steps", logging_steps=0.5',
            "if done % max(1, math.ceil(num_steps * config.eval_steps)) == 0:",
        ),
        (
            'eval_strategy="epoch"',
            "if done % steps_per_epoch == 0 or done == num_steps:\n                eval_loss",
        ),
        (
            "eval_strategy=IntervalStrategy.EPOCH",
            "if done % steps_per_epoch == 0 or done == num_steps:\n                eval_loss",
        ),
        (
            'eval_strategy="no", evaluation_strategy="epoch"',
            "if done % steps_per_epoch == 0 or done == num_steps:\n                eval_loss",
        ),
        (
            'eval_strategy="epoch", evaluation_strategy=None',
            "if done % steps_per_epoch == 0 or done == num_steps:\n                eval_loss",
        ),
        ('eval_strategy="epoch", eval_on_start=True', "before training  eval_loss"),
        (
            'eval_strategy="epoch", per_device_eval_batch_size=3',
            "range(0, len(rows), config.eval_batch_size)",
        ),
    ],
)
def test_evaluation_happens_when_the_original_evaluated(config, line):
    assert line in text(config, EVAL)


@pytest.mark.parametrize(
    ("config", "trainer"),
    [
        ('eval_strategy="no"', EVAL),
        ("", EVAL),
        ("do_eval=True", EVAL),
        ("eval_strategy=False", EVAL),
        ('eval_strategy="epoch"', "eval_dataset=None"),
    ],
)
def test_without_a_strategy_or_rows_nothing_is_evaluated(config, trainer):
    assert "def evaluate(" not in text(config, trainer)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("", "if done % config.save_steps == 0 or done == num_steps:"),
        ("save_steps=5", "    save_steps=5,"),
        ('save_strategy="epoch"', "if done % steps_per_epoch == 0 or done == num_steps:"),
        ("save_steps=0.5", "if done % max(1, math.ceil(num_steps * config.save_steps)) == 0 or"),
        (
            "save_total_limit=2",
            "save_checkpoint(training_client, done, output_dir, config.save_total_limit)",
        ),
        (
            "save_strategy=SaveStrategy.EPOCH",
            "if done % steps_per_epoch == 0 or done == num_steps:",
        ),
    ],
)
def test_checkpoints_are_saved_when_the_original_saved(config, line):
    assert line in text(config)


@pytest.mark.parametrize("config", ['save_strategy="no"', "save_strategy=False"])
def test_without_saving_there_is_no_checkpoint(config):
    assert "save_checkpoint" not in text(config)


def test_the_best_checkpoint_is_not_chosen():
    found = decision(
        sft(config='output_dir="o", save_strategy="best"'), "trl.SFTConfig.save_strategy"
    )
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM219")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("logging_steps=3", "if done % config.logging_steps == 0 or"),
        ("logging_steps=0.2", "if done % max(1, math.ceil(num_steps * config.logging_steps)) == 0"),
        ("logging_first_step=True", "if done == 1 or done % config.logging_steps"),
    ],
)
def test_progress_is_printed_when_the_original_logged(config, line):
    assert line in text(config)


@pytest.mark.parametrize(
    ("value", "fidelity", "line"),
    [
        ('"wandb"', Fidelity.EXACT, "import wandb\n"),
        ('["wandb"]', Fidelity.EXACT, "wandb.log("),
        ('"tensorboard"', Fidelity.EXACT, "SummaryWriter"),
        ('["wandb", "tensorboard"]', Fidelity.APPROXIMATE, "wandb.log("),
    ],
)
def test_a_tracker_is_called_as_before(value, fidelity, line):
    result = sft(config=f'output_dir="o", report_to={value}')
    assert line in converted(result)
    assert decision(result, "trl.SFTConfig.report_to").fidelity is fidelity


@pytest.mark.parametrize(
    "value", ['"none"', "[]", "None", "()", '["none"]', "True", '"all"', '"mlflow"', "tracker"]
)
def test_without_a_known_tracker_none_is_called(value):
    converted_text = text(f"report_to={value}")
    assert "wandb" not in converted_text
    assert "SummaryWriter" not in converted_text


def test_a_run_the_script_starts_is_not_started_again():
    result = sft(
        config='output_dir="o", report_to="wandb"', after="import wandb\nwandb.init(project='x')"
    )
    assert converted(result).count("wandb.init(") == 1


@pytest.mark.parametrize(
    ("config", "expression"),
    [
        ("project=args.project, report_to='wandb'", "config.project"),
        ("project='mine', report_to='wandb'", "'mine'"),
        ("eos_token=args.eos", "tokenizer.eos_token = config.eos_token"),
        ("eos_token='<|im_end|>'", "tokenizer.eos_token = '<|im_end|>'"),
    ],
)
def test_an_expression_reaches_the_loop_through_the_configuration(config, expression):
    assert expression in text(config)


@pytest.mark.parametrize(
    ("config", "call", "given"),
    [
        ("", "trainer.train(resume_from_checkpoint=True)", "resume_from_checkpoint=True,"),
        ("", 'trainer.train("out/checkpoint-5")', 'resume_from_checkpoint="out/checkpoint-5",'),
        (
            "",
            "trainer.train(resume_from_checkpoint=args.resume)",
            "resume_from_checkpoint=args.resume,",
        ),
    ],
)
def test_training_resumes_where_the_original_did(config, call, given):
    from support.scripts import LORA, SFT, migrated

    script = SFT.format(config='output_dir="o"', lora=LORA, trainer="", after="").replace(
        "trainer.train()", call
    )
    result = converted(migrated(script))
    assert given in result
    assert "def find_checkpoint(" in result


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("", "manual_seed(config.seed + epoch)"),
        ("data_seed=3", "manual_seed(config.data_seed + epoch)"),
        ("seed=3", "manual_seed(config.seed + epoch)"),
        ("shuffle_dataset=True", "train_dataset.shuffle(seed=config.seed)"),
        ("dataloader_drop_last=True", "num_used = len(rows) - len(rows) % config.micro_batch_size"),
        ('train_sampling_strategy="sequential"', "batch = rows[first : first + config.batch_size]"),
    ],
)
def test_rows_come_in_the_order_of_the_original(config, line):
    assert line in text(config)


def test_before_one_seed_ordered_everything():
    assert "manual_seed(config.seed + epoch)" in text("data_seed=3", source_version="0.11.4")


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("0.11.4", "share=1.0 / config.gradient_accumulation_steps"),
        ("1.16.0", 'weights": [1.0 / num_loss_tokens]'),
    ],
)
def test_accumulation_averages_as_the_release_did(version, line):
    config = "gradient_accumulation_steps=2, dataset_text_field='text'"
    assert line in text(config, source_version=version)


@pytest.mark.parametrize("name", ["eval_strategy", "save_strategy", "logging_strategy"])
@pytest.mark.parametrize("value", ["'stops'", "[1.0, 2]", "{1: [2]}", "{3}", "'Steps'"])
def test_a_strategy_that_does_not_exist_is_refused_with_its_name(name, value):
    result = sft(config=f'output_dir="out", {name}={value}')
    assert result.text is None
    assert f"`{name}={value}` is not no, steps or epoch" in result.notices[0]


@pytest.mark.parametrize("value", ["'no'", "'steps'", "'epoch'", "False", "IntervalStrategy.STEPS"])
def test_every_strategy_that_exists_is_taken(value):
    assert text(f"save_strategy={value}")


@pytest.mark.parametrize("name", ["save_strategy", "eval_strategy"])
def test_a_strategy_that_is_computed_is_chosen_when_the_script_runs(name):
    result = sft(f'output_dir="out", {name}=mode', trainer="eval_dataset=dataset,")
    assert f"    {name}=mode,\n" in converted(result)
    assert f".get(config.{name}, False):" in converted(result)
    found = decision(result, f"trl.SFTConfig.{name}")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM260")


def test_a_computed_wish_to_show_the_first_step_is_dropped_with_a_reason():
    result = sft('output_dir="out", logging_first_step=flag')
    found = decision(result, "trl.SFTConfig.logging_first_step")
    assert (found.fidelity, found.code) == (Fidelity.DROPPED, "MM222")

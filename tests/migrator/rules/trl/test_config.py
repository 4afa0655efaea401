"""Fields of the configuration are carried, joined, renamed, dropped, or left to a person."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import LORA, SFT, converted, decision, grpo, migrated, sft

BASE = 'output_dir="out", save_strategy="no", '
EXACT, APPROXIMATE, DROPPED, MANUAL = Fidelity


def given(field: str, **options: object):
    """Migrate a script with one more field."""
    return sft(config=BASE + field, **options)


def about(field: str, **options: object):
    return decision(given(field, **options), f"trl.SFTConfig.{field.split('=', 1)[0]}")


CARRIED = [
    "learning_rate=5e-6",
    "num_train_epochs=2",
    "max_steps=7",
    "warmup_steps=3",
    "warmup_ratio=0.03",
    "weight_decay=0.01",
    "adam_beta1=0.8",
    "adam_beta2=0.95",
    "adam_epsilon=1e-6",
    "max_grad_norm=0.3",
    "seed=7",
    "data_seed=8",
    "logging_steps=5",
    "max_length=128",
    "learning_rate=float(dataset.info.x)",
    "max_length=None if 1 else 2",
]


@pytest.mark.parametrize("field", CARRIED)
def test_a_field_the_loop_reads_keeps_its_text(field):
    result = given(field)
    assert f"    {field}," in converted(result)
    assert about(field).fidelity is EXACT


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("max_seq_length=64", "max_length=64,"),
        ("per_device_train_batch_size=2", "batch_size=2,"),
        ("gradient_accumulation_steps=4", "batch_size=8 * 4,"),
        (
            "per_device_train_batch_size=a + b, gradient_accumulation_steps=c",
            "batch_size=(a + b) * c,",
        ),
        ("per_device_train_batch_size=x.bs, gradient_accumulation_steps=4", "batch_size=x.bs * 4,"),
        ("per_gpu_train_batch_size=3", "batch_size=3,"),
        ("max_grad_norm=None", "max_grad_norm=0.0,"),
    ],
)
def test_fields_with_another_name_here_are_written_under_it(field, written):
    assert written in converted(given(field))


def test_processes_enter_the_batch():
    text = converted(
        given("per_device_train_batch_size=2, gradient_accumulation_steps=4", num_processes=8)
    )
    assert "batch_size=2 * 4 * 8," in text


@pytest.mark.parametrize(
    "field",
    [
        "bf16=True",
        "gradient_checkpointing=True",
        "dataloader_num_workers=4",
        "deepspeed='ds.json'",
        "torch_compile=True",
        "disable_tqdm=True",
        "full_determinism=True",
    ],
)
def test_fields_of_hardware_and_display_are_dropped(field):
    found = about(field)
    assert found.fidelity is DROPPED
    assert found.code
    assert f"{field.split('=')[0]}=" not in converted(given(field))


@pytest.mark.parametrize(
    "field",
    [
        "neftune_noise_alpha=5",
        "label_smoothing_factor=0.1",
        "group_by_length=True",
        "chat_template_path='x'",
        "dataset_kwargs={'skip_prepare_dataset': True}",
        "optim='adafactor'",
        "optim='sgd'",
        "optim='lion_8bit'",
        "optim='galore_adamw'",
        "optim_args='betas=0.9,0.9'",
        "ignore_data_skip=True",
        "frobnicate=3",
    ],
)
def test_fields_that_change_training_are_for_a_person(field):
    result = given(field)
    found = about(field)
    assert found.fidelity is MANUAL
    assert f"TODO[mint-migrate {found.code}]" in converted(result)


@pytest.mark.parametrize(
    "field",
    [
        "packing=False",
        "neftune_noise_alpha=None",
        "label_smoothing_factor=0.0",
        "loss_type='nll'",
        "assistant_only_loss=False",
        "optim='adamw_torch'",
        "optim='adamw_torch_fused'",
        "optim='paged_adamw_32bit'",
        "auto_find_batch_size=False",
        "average_tokens_across_devices=True",
        "average_tokens_across_devices=False",
        "load_best_model_at_end=False",
        "dataset_kwargs=None",
    ],
)
def test_fields_with_a_value_of_no_effect_are_left_alone(field):
    result = given(field)
    assert about(field).fidelity is EXACT
    assert "TODO" not in converted(result)


@pytest.mark.parametrize("field", ["optim='adamw_8bit'", "optim='paged_adamw_8bit'", "optim=name"])
def test_an_adamw_of_fewer_bits_or_an_unknown_one_is_approximate(field):
    found = about(field)
    assert (found.fidelity, found.code) == (APPROXIMATE, "MM213")
    assert "MM213" in converted(given(field))


@pytest.mark.parametrize(
    ("value", "fidelity"),
    [
        ("ADAMW_TORCH", EXACT),
        ("ADAMW_8BIT", APPROXIMATE),
        ("ADAFACTOR", MANUAL),
        ("ADAFACTOR.value", MANUAL),
    ],
)
def test_an_optimizer_may_be_given_as_a_member_of_its_enumeration(value, fidelity):
    assert about(f"optim=OptimizerNames.{value}").fidelity is fidelity


def test_tokens_averaged_per_process_matter_only_with_several():
    assert about("average_tokens_across_devices=False", num_processes=2).fidelity is not DROPPED


def test_a_default_that_enters_the_mathematics_is_written_out():
    text = converted(sft(config=BASE + "learning_rate=1e-5"))
    assert "# Defaults of TRL 1.16.0 that the original relied on.\n" in text
    for line in ("max_length=1024,", "num_train_epochs=3.0,", "seed=42,"):
        assert f"    {line}" in text


def test_comments_stay_with_their_fields():
    text = converted(
        given(
            "\n    # measured\n    learning_rate=1e-4,  # high\n    # none\n    bf16=True,  # out\n"
        )
    )
    assert "    # measured\n    learning_rate=1e-4,  # high\n" in text


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("config = SFTConfig(*options)", "hides which options"),
        ("config = SFTConfig('out', 8)", "by position"),
        (
            "options = {'seed': 1}\noptions['seed'] = 2\nconfig = SFTConfig(**options)",
            "may be changed on line 8",
        ),
        (
            "options = dict(seed=1)\noptions.update(seed=2)\nconfig = SFTConfig(**options)",
            "may be changed",
        ),
        ("options = {'seed': 1}\nconfig = SFTConfig(seed=2, **options)", "given twice"),
        ("config = load()", "cannot be seen"),
        ("config = a = SFTConfig()", "cannot be seen"),
        ("config = SFTConfig() if x else None", "cannot be seen"),
        ("config = SFTConfig(truncation_mode=mode)", "must be a literal"),
        ("config = SFTConfig(train_sampling_strategy=mode)", "must be a literal"),
        ("config = SFTConfig(logging_steps='10')", "not a number"),
        ("config = SFTConfig(train_sampling_strategy='group_by_length')", "lengths of the rows"),
        ("config = SFTConfig(eval_strategy='best')", "`best`"),
        ("config = SFTConfig()\nconfig.packing = True", "set after"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_left_alone(code, reason):
    result = migrated(
        SFT.format(config="CONFIG", lora=LORA, trainer="", after="").replace(
            "config = SFTConfig(CONFIG)", code
        )
    )
    assert result.text is None
    assert reason in result.notices[0]


def test_a_dictionary_of_options_is_followed_and_goes():
    text = converted(
        migrated(
            SFT.format(config="**options", lora=LORA, trainer="", after="").replace(
                "config =",
                "options = {'output_dir': 'o', 'save_strategy': 'no', 'seed': 3}\nconfig =",
            )
        )
    )
    assert "seed=3," in text
    assert "options =" not in text


def test_fields_the_script_reads_stay_in_the_namespace():
    text = converted(
        sft(
            config=BASE + "bf16=True, per_device_train_batch_size=2",
            after="print(config.bf16, config.per_device_train_batch_size)",
        )
    )
    assert "    bf16=True," in text
    assert "    per_device_train_batch_size=2," in text


def test_a_method_of_the_configuration_is_for_a_person():
    result = sft(after="print(config.to_dict())")
    assert "# print(config.to_dict())" in converted(result)
    assert MANUAL in {item.fidelity for item in result.decisions}


@pytest.mark.parametrize(
    "shape", ["config: SFTConfig = SFTConfig", "config = (SFTConfig)", "config = \\\n    SFTConfig"]
)
def test_other_ways_to_write_the_assignment_are_understood(shape):
    text = SFT.format(config=BASE, lora=LORA, trainer="", after="").replace(
        "config = SFTConfig", shape
    )
    assert "\nconfig = SimpleNamespace(\n" in converted(migrated(text))


def test_an_inline_configuration_is_written_above_training():
    text = SFT.format(config="X", lora=LORA, trainer="", after="").replace(
        "config = SFTConfig(X)\n", "config = 3\n"
    )
    text = converted(
        migrated(text.replace("args=config", 'args=SFTConfig("out", save_strategy="no")'))
    )
    assert "training_config = SimpleNamespace(\n" in text
    assert "train(\n    training_config,\n" in text


def test_without_a_configuration_the_defaults_are_written():
    text = SFT.format(config="X", lora=LORA, trainer="", after="").replace(
        "config = SFTConfig(X)\n", ""
    )
    text = converted(migrated(text.replace("    args=config,\n", "")))
    assert "config = SimpleNamespace(\n" in text
    assert 'output_dir="Qwen3-0.6B-SFT"' in text


@pytest.mark.parametrize("value", ["[1, 2]", "{1: [2]}", "{3}", "([4],)"])
@pytest.mark.parametrize("name", ["gradient_accumulation_steps", "temperature", "loss_type"])
def test_a_literal_of_a_strange_type_is_decided_like_any_other(name, value):
    assert sum(item.found.name.endswith(name) for item in grpo(f"{name}={value}").decisions) == 1

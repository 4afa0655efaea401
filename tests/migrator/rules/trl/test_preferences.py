"""KTO, BCO, ORPO, CPO and reward models: what is written, and what is left to a person."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from trl import {name}Config, {name}Trainer

dataset = load_dataset("acme/preferences", split="train"){rows}
trainer = {name}Trainer(
    model="Qwen/Qwen3-0.6B",
    args={name}Config(output_dir="o", save_strategy="no", {config}),
    train_dataset=dataset,
    peft_config=LoraConfig(r=32, lora_alpha=32, target_modules="all-linear"),
    {trainer}
)
trainer.train()
"""
LABELED = '.filter(lambda row: row["prompt"] and row["completion"] and row["label"] is not None)'
PAIRS = '.filter(lambda row: row["prompt"] and row["chosen"] != row["rejected"])'


def preferences(
    name: str, config: str = "", *, rows: str = "", trainer: str = "", version: str = "1.16.0"
) -> Migrated:
    """Migrate a small script with a trainer called *name*."""
    text = SCRIPT.format(name=name, config=config, rows=rows, trainer=trainer)
    return migrated(text, source_version=version)


def blocked(result: Migrated) -> tuple[str, str]:
    """Return code and note of a script that is not converted."""
    assert result.text is None
    return result.decisions[-1].code or "", result.notices[-1]


def test_kto_reads_rows_in_their_order_and_pairs_prompts_within_a_micro_batch():
    text = converted(
        preferences("KTO", "per_device_train_batch_size=4, gradient_accumulation_steps=2")
    )
    assert "randperm" not in text
    assert "range(0, len(rows), config.micro_batch_size)" in text
    assert "[batch[-1], *batch[:-1]]" in text


@pytest.mark.parametrize(
    ("rows", "unpairs", "splits"),
    [(LABELED, False, False), (PAIRS, True, False), ("", True, True)],
    ids=["labels", "pairs", "not shown"],
)
def test_kto_writes_only_what_the_columns_need(rows, unpairs, splits):
    text = converted(preferences("KTO", rows=rows))
    assert ("def label_rows(" in text) is unpairs
    assert ("def split_prompt(" in text) is splits


def test_kto_without_a_kl_term_asks_nothing_about_other_completions():
    text = converted(preferences("KTO", 'loss_type="apo_zero_unpaired"', rows=LABELED))
    assert "mismatched" not in text
    assert "kl" not in text.split("def kto_loss(")[1].split("def ")[0]


def test_kto_with_a_kl_term_in_random_order_is_refused_as_trl_refuses_it():
    code, note = blocked(preferences("KTO", 'train_sampling_strategy="random"'))
    assert code == "MM215"
    assert "KL estimate" in note


def test_kto_without_a_kl_term_may_read_rows_in_random_order():
    options = 'train_sampling_strategy="random", loss_type="apo_zero_unpaired"'
    assert "randperm" in converted(preferences("KTO", options))


def test_kto_ignores_the_order_that_is_asked_for_where_its_release_did():
    options = 'train_sampling_strategy="random"'
    assert "randperm" not in converted(preferences("KTO", options, version="1.5.0"))


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("0.8.6", "reversed(batch)"),
        ("0.8.6", "room = config.max_length - 2"),
        ("0.11.4", "range(0, len(rows), config.batch_size)"),
        ("0.19.1", "range(0, len(rows), config.micro_batch_size)"),
        ("0.19.1", "prompt = prompt[-config.max_prompt_length :]"),
        ("0.19.1", "row.prompt = tokens[:start]"),
        ("0.28.0", "completion = completion[: room - len(prompt)]"),
        ("1.5.0", "return prompt_tokens, tokens[len(prompt_tokens) :]"),
        ("1.16.0", "os.path.commonprefix([prompt_tokens, tokens])"),
        ("1.16.0", "if len(row.prompt) < config.max_length"),
    ],
)
def test_kto_prepares_rows_as_its_release_did(version, shown):
    options = "per_device_train_batch_size=4, gradient_accumulation_steps=2"
    assert shown in converted(preferences("KTO", options, version=version))


def test_kto_keeps_long_prompts_where_nothing_is_cut():
    text = converted(preferences("KTO", "max_length=None"))
    assert "max_length" not in text


def test_kto_weights_that_are_not_given_stand_as_numbers():
    text = converted(preferences("KTO", "undesirable_weight=weight"))
    assert "torch.where(desirable, 1.0, config.undesirable_weight)" in text
    assert "undesirable_weight=weight," in text


@pytest.mark.parametrize(
    ("version", "shown", "absent"),
    [
        ("0.10.1", "prompt = prompt[-config.max_prompt_length :]", "def render_row("),
        ("0.12.2", "def render_row(", "def label_rows("),
        ("0.16.1", "running.mean) / running.count", "len(rows) / running.count"),
        ("0.17.0", "* len(rows) / running.count", ".shuffle("),
        ("0.22.2", "def label_rows(", ".shuffle("),
        ("1.13.0", "completion = completion[: room - len(prompt)]", "max_prompt_length"),
    ],
)
def test_bco_does_as_its_release_did(version, shown, absent):
    text = converted(preferences("BCO", version=version))
    assert shown in text
    assert absent not in text


@pytest.mark.parametrize(
    ("name", "version", "seed", "codes"),
    [
        ("BCO", "0.16.1", "data_seed=3", set()),
        ("BCO", "0.16.1", "", {"MM261"}),
        ("BCO", "0.17.0", "", set()),
        ("KTO", "0.11.4", "data_seed=3", set()),
        ("KTO", "0.11.4", "", {"MM261"}),
        ("KTO", "0.12.2", "", set()),
    ],
)
def test_rows_shuffled_without_a_seed_are_said(name, version, seed, codes):
    result = preferences(name, seed, rows=LABELED, version=version)
    assert {item.code for item in result.decisions} - {None} == codes
    shuffles = bool(codes) or bool(seed)
    assert (".shuffle(seed=config." in converted(result)) is shuffles


@pytest.mark.parametrize(("version", "codes"), [("0.16.1", {"MM262"}), ("0.17.0", set())])
def test_bco_says_that_evaluations_moved_its_mean(version, codes):
    options = 'eval_strategy="epoch", data_seed=3'
    result = preferences("BCO", options, trainer="eval_dataset=dataset,", version=version)
    assert {item.code for item in result.decisions} - {None} == codes
    assert "config, running, trains=False)" in converted(result)


def test_bco_of_several_processes_says_that_they_shared_one_mean():
    text = SCRIPT.format(name="BCO", config="", rows=LABELED, trainer="")
    text = text.replace("from trl import", "from trl.experimental.bco import")
    result = migrated(text, num_processes=2, source_version="1.13.0")
    assert "MM223" in converted(result).split('"""')[1]


def test_bco_weighed_by_a_classifier_is_refused():
    given = "embedding_func=embed, embedding_tokenizer=tokenizer,"
    code, note = blocked(preferences("BCO", trainer=given, version="1.13.0"))
    assert code == "MM221"
    assert "classifier" in note


def test_bco_takes_options_of_the_classifier_without_one():
    result = preferences("BCO", "prompt_sample_size=64, max_density_ratio=5.0", version="1.13.0")
    option = decision(result, "trl.BCOConfig.prompt_sample_size")
    assert (option.fidelity, option.code) == (Fidelity.DROPPED, "MM221")


def test_bco_goes_on_with_its_mean_where_training_is_resumed():
    text = SCRIPT.format(name="BCO", config="", rows=LABELED, trainer="")
    text = text.replace("trainer.train()", "trainer.train(resume_from_checkpoint=True)")
    result = converted(migrated(text, source_version="1.13.0"))
    assert "running = read_running(output_dir, start) if start else" in result


def test_a_moving_reference_is_left_to_a_person():
    result = preferences("KTO", "sync_ref_model=True")
    assert decision(result, "trl.KTOConfig.sync_ref_model").fidelity is Fidelity.MANUAL
    assert "TODO[mint-migrate MM249]" in converted(result)


def test_several_processes_say_that_they_shared_one_kl_estimate():
    text = SCRIPT.format(name="KTO", config="", rows=LABELED, trainer="")
    assert "MM223" in converted(migrated(text, num_processes=2)).split('"""')[1]
    assert "MM223" not in converted(migrated(text)).split('"""')[1]


@pytest.mark.parametrize(("version", "is_said"), [("0.8.6", True), ("0.9.6", False)])
def test_padding_in_the_likelihood_of_orpo_is_said(version, is_said):
    text = converted(preferences("ORPO", rows=PAIRS, version=version))
    assert ("MM221" in text) is is_said


def test_another_reference_is_a_sampling_client_of_its_own():
    text = converted(preferences("KTO", trainer='ref_model="Qwen/Qwen3-1.7B",'))
    assert 'reference_model="Qwen/Qwen3-1.7B",' in text
    assert "prepare_rows(train_dataset, tokenizer, config, reference_model)" in text


@pytest.mark.parametrize(
    ("version", "shown", "absent"),
    [
        ("0.8.6", "[tokenizer.bos_token_id, *prompt_tokens], [*answer_tokens", "def render_row("),
        ("0.19.1", "answer_tokens[: config.max_length - config.max_prompt_length]", "room ="),
        ("0.29.0", "answer_tokens[: config.max_length - longest]", "max_prompt_length"),
        ("1.16.0", "room = max(0, config.max_length - len(prompt_tokens))", "longest"),
    ],
)
@pytest.mark.parametrize("name", ["ORPO", "CPO"])
def test_pairs_are_cut_as_their_release_did(name, version, shown, absent):
    text = converted(preferences(name, rows=PAIRS, version=version))
    assert shown in text
    assert absent not in text


@pytest.mark.parametrize(
    ("version", "divisor"),
    [
        ("0.12.2", " / config.gradient_accumulation_steps\n"),
        ("0.15.2", "parts)\n"),
        ("0.22.2", " / len(parts)\n"),
        ("1.16.0", " / len(parts)\n"),
    ],
)
def test_micro_batches_are_joined_as_the_releases_of_the_time_did(version, divisor):
    text = converted(preferences("ORPO", "gradient_accumulation_steps=4", version=version))
    assert f"loss = sum(loss for loss, _ in parts){divisor.removeprefix('parts)')}" in text


@pytest.mark.parametrize(
    ("config", "shown", "absent"),
    [
        ("", "+ config.cpo_alpha * nll", "label_smoothing"),
        ("cpo_alpha=0.0", "logsigmoid(config.beta * margins)", "nll"),
        ('loss_type="hinge"', "torch.relu(1 - config.beta * margins)", "simpo_gamma"),
        ('loss_type="ipo"', "/ mask.sum()", "logsigmoid"),
        ('loss_type="simpo"', "config.simpo_gamma / config.beta", "config.alpha"),
        ('loss_type="alphapo", alpha=0.2', "torch.exp(-config.alpha * chosen)", "nll"),
        ("label_smoothing=0.1", "(1 - config.label_smoothing)", "config.alpha"),
        ('label_smoothing=0.1, loss_type="hinge"', "torch.relu", "label_smoothing"),
        ("cpo_alpha=share", "config.cpo_alpha * nll", "simpo_gamma"),
    ],
)
def test_cpo_writes_only_the_chosen_loss(config, shown, absent):
    result = preferences("CPO", config, rows=PAIRS)
    text = converted(result)
    assert shown in text
    assert absent not in text
    assert {item.fidelity for item in result.decisions} == {Fidelity.EXACT}


@pytest.mark.parametrize(
    ("name", "config"),
    [("CPO", 'loss_type="kto_pair"'), ("KTO", 'loss_type="bco"'), ("CPO", "loss_type=chosen")],
)
def test_a_loss_that_is_not_known_is_refused(name, config):
    code, note = blocked(preferences(name, config))
    assert code in {"MM221", "MM292"}
    assert "loss_type" in note


@pytest.mark.parametrize("name", ["KTO", "BCO", "ORPO", "CPO"])
def test_a_streamed_data_set_is_refused(name):
    text = SCRIPT.format(name=name, config="", rows="", trainer="")
    result = migrated(text.replace('split="train"', 'split="train", streaming=True'))
    assert blocked(result)[0] == "MM503"


@pytest.mark.parametrize("name", ["KTO", "ORPO", "CPO"])
def test_names_of_the_users_own_are_kept(name):
    text = SCRIPT.format(name=name, config="", rows="", trainer="")
    own = "def build_datum(x):\n    return x\n"
    result = converted(migrated(own + text.lstrip()))
    assert own in result
    assert "def completion_datum(" in result


REWARD = SCRIPT.format(name="Reward", config="", rows="", trainer="")


def test_a_reward_model_is_refused_with_the_way_out():
    code, note = blocked(migrated(REWARD))
    assert code == "MM242"
    assert "--reward-model generative" in note


def test_a_generative_reward_model_says_that_it_is_another_algorithm():
    result = migrated(REWARD, reward_model="generative")
    text = converted(result)
    trainer = [item.code for item in result.decisions if item.found.name == "trl.RewardTrainer"]
    assert "MM258" in trainer
    assert "another algorithm" in text.split('"""')[1]
    assert "logsigmoid(chosen - rejected)" in text


def test_the_option_changes_no_other_trainer():
    text = SCRIPT.format(name="ORPO", config="", rows="", trainer="")
    assert converted(migrated(text, reward_model="generative")) == converted(migrated(text))

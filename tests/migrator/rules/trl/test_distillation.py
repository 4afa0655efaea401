"""Distillation: which objectives become the reverse divergence on own answers, and what is said."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision, Fidelity
from support.distillation import distillation, gkd, minillm
from support.scripts import converted, migrated

FLAG = {"distillation": "reverse-kl"}
MAKERS = {"gkd": gkd, "distillation": distillation, "minillm": minillm}


def decision(result: Migrated, name: str) -> Decision:
    """Return the one decision about an argument of the configuration or the trainer."""
    found = [item for item in result.decisions if item.found.name.endswith(f"r.{name}")]
    found += [item for item in result.decisions if item.found.name.endswith(f"g.{name}")]
    assert len(found) == 1, (name, [item.found.name for item in result.decisions])
    return found[0]


def blocked(result: Migrated) -> tuple[str | None, str]:
    """Return code and sentence of a script that was left alone."""
    assert result.text is None
    return result.decisions[0].code, result.decisions[0].note


@pytest.mark.parametrize(
    ("config", "version", "wanted"),
    [
        ("beta=0.5, lmbda=1.0", "1.16.0", "write beta=1,"),
        ("beta=1.0", "1.16.0", "the default `lmbda=0.5`"),
        ("beta=0.0, lmbda=1.0", "1.16.0", "write beta=1,"),
        ("beta=1.0, lmbda=1.0", "0.15.2", "write beta=0,"),
        ("", "1.16.0", "write beta=1, lmbda=1,"),
    ],
)
def test_gkd_with_another_objective_is_refused_with_the_ways_out(config, version, wanted):
    code, note = blocked(gkd(config, version=version))
    assert code == "MM243"
    assert wanted in note
    assert "--distillation reverse-kl" in note


@pytest.mark.parametrize(("config", "version"), [("beta=1", "0.16.1"), ("beta=0.0", "0.15.2")])
def test_which_beta_is_the_reverse_divergence_depends_on_the_release(config, version):
    result = gkd(f"{config}, lmbda=1", version=version)
    assert converted(result)
    assert decision(result, "beta").fidelity is Fidelity.EXACT


@pytest.mark.parametrize("name", MAKERS)
def test_the_trainer_says_that_the_divergence_is_estimated(name):
    result = MAKERS[name]("beta=1, lmbda=1" if name == "gkd" else "")
    text = converted(result)
    assert "estimated on the tokens that the student drew" in text.split('"""')[1].replace(
        "\n  ", " "
    )
    assert 'loss_fn="importance_sampling"' in text


def test_the_option_replaces_another_objective_and_says_so():
    result = gkd("beta=0.5, seq_kd=True", **FLAG)
    head = converted(result).split('"""')[1].replace("\n  ", " ")
    assert "another objective, asked for with --distillation reverse-kl" in head
    assert "the default `lmbda=0.5`" in head
    for name in ("beta", "seq_kd"):
        assert (decision(result, name).fidelity, decision(result, name).code) == (
            Fidelity.APPROXIMATE,
            "MM271",
        )


def test_the_option_changes_nothing_where_the_objective_is_the_reverse_divergence():
    config = "beta=1.0, lmbda=1.0, seq_kd=True"
    assert converted(gkd(config, **FLAG)) == converted(gkd(config))
    assert decision(gkd(config), "seq_kd").fidelity is Fidelity.EXACT


def test_what_the_option_writes_is_what_the_ways_out_write():
    replaced = converted(gkd("beta=0.5, lmbda=0.5", **FLAG))
    written = converted(gkd("beta=1, lmbda=1"))
    start = replaced.index("\nimport json"), written.index("\nimport json")
    body = [
        text[at : text.index("\ndef train(")]
        for text, at in zip((replaced, written), start, strict=True)
    ]
    assert body[0] == body[1]


@pytest.mark.parametrize(
    ("make", "config"),
    [(distillation, "temperature=0.7"), (distillation, "beta=0"), (minillm, "kd_temperature=2.0")],
)
def test_softened_or_other_divergences_are_refused_unless_asked_for(make, config):
    code, note = blocked(make(config))
    assert code == "MM243"
    assert "--distillation reverse-kl" in note
    result = make(config, **FLAG)
    assert decision(result, config.partition("=")[0]).code == "MM271"
    assert converted(result)


@pytest.mark.parametrize(
    ("config", "weighed"), [("temperature=1.0", False), ("temperature=0.7", True), ("", True)]
)
def test_answers_of_gkd_are_weighed_where_they_are_drawn_at_another_temperature(config, weighed):
    text = converted(gkd(f"beta=1, lmbda=1, {config}"))
    assert ("sample.own = logprobs" in text) == weighed


@pytest.mark.parametrize(
    ("version", "share"),
    [("1.16.0", "sum(row.answer_length for row in read)"), ("1.6.0", "1.0 / num_tokens")],
)
def test_a_step_of_gkd_is_divided_by_what_the_release_counted(version, share):
    assert share in converted(gkd("beta=1, lmbda=1", version=version))


def test_micro_batches_of_older_releases_are_averaged_and_that_is_said():
    result = gkd("beta=1, lmbda=1, gradient_accumulation_steps=4", version="1.0.0")
    assert "1.0 / (sum(len(sample.tokens) for sample in part) * len(parts))" in converted(result)
    assert decision(result, "gradient_accumulation_steps").code == "MM235"


def test_a_step_that_goes_on_over_the_end_of_an_epoch_keeps_its_micro_batches():
    result = gkd("beta=0, lmbda=1, gradient_accumulation_steps=4", version="0.11.4")
    assert "[next(drawn) for _ in rows_of_batch] for rows_of_batch in micro_batches" in (
        converted(result)
    )


@pytest.mark.parametrize(
    "option", ["packing=True", 'dataset_text_field="text"', "shuffle_dataset=True"]
)
def test_options_of_fine_tuning_that_gkd_does_not_read_are_dropped(option):
    result = gkd(f"beta=1, lmbda=1, {option}")
    name = option.partition("=")[0]
    assert decision(result, name).code == "MM273"
    assert "train_dataset.shuffle" not in converted(result)


@pytest.mark.parametrize("name", MAKERS)
def test_an_evaluation_is_left_out_and_that_is_said(name):
    config = 'eval_strategy="steps", eval_steps=10'
    config += ", beta=1, lmbda=1" if name == "gkd" else ""
    result = MAKERS[name](config, trainer='eval_dataset=load_dataset("a/b", split="test"),')
    assert "evaluate" not in converted(result)
    for found in ("eval_strategy", "eval_steps", "eval_dataset"):
        assert decision(result, found).code == "MM233"


def test_the_option_of_the_command_line_names_another_student_and_not_another_teacher():
    text = converted(distillation(base_model="acme/other"))
    assert 'base_model="acme/other",' in text
    assert 'teacher_model="Qwen/Qwen3-1.7B",' in text


@pytest.mark.parametrize("option", ["top_p=0.9", "top_k=20"])
def test_what_keeps_tokens_from_being_drawn_is_said_of_the_estimate(option):
    name = option.partition("=")[0]
    assert decision(distillation(option), name).code == "MM270"
    assert decision(minillm(f"{option}, single_step_decomposition=False"), name).fidelity is (
        Fidelity.EXACT
    )


@pytest.mark.parametrize(
    ("config", "trainer", "word"),
    [
        ("", "reward_funcs=[len],", "reward_funcs"),
        ("num_iterations=2", "", "num_iterations"),
        ("steps_per_generation=2", "", "steps_per_generation"),
        ("beta=0.1", "", "a reference"),
        ('importance_sampling_level="sequence"', "", "sequence ratios"),
        ('loss_type="cispo"', "", "cispo"),
        ("mask_truncated_completions=True", "", "mask_truncated_completions"),
        ("rkl_advantage=False, single_step_decomposition=False", "", "no part in the loss"),
    ],
)
def test_parts_of_minillm_that_are_not_converted_are_refused_by_name(config, trainer, word):
    code, note = blocked(minillm(config, trainer=trainer))
    assert code == "MM272"
    assert word in note


def test_minillm_whose_loss_is_sampled_in_the_original_is_not_called_estimated():
    result = minillm("single_step_decomposition=False")
    assert "estimated" not in converted(result)


def test_minillm_of_a_release_without_it_is_refused_with_one_that_has_it():
    _, note = blocked(minillm(version="1.16.0"))
    assert "--source-version trl==1.14.0" in note


@pytest.mark.parametrize("trainer", ["tools=[len],"])
def test_answers_that_call_tools_are_refused(trainer):
    assert blocked(distillation(trainer=trainer))[0] == "MM272"


def test_the_experimental_trainer_of_older_releases_is_refused():
    code, note = blocked(distillation(version="1.8.0"))
    assert code == "MM272"
    assert "later release" in note


PARSED = """
from datasets import load_dataset
from trl import DistillationConfig, DistillationTrainer, TrlParser

parser = TrlParser(DistillationConfig)
(training_args,) = parser.parse_args_and_config()
dataset = load_dataset("trl-lib/tldr")
trainer = DistillationTrainer(
    model="Qwen/Qwen3-0.6B",
    teacher_model=training_args.teacher_model_name_or_path,
    args=training_args,
    train_dataset=dataset["train"],
    eval_dataset=dataset["test"] if training_args.eval_strategy != "no" else None,
)
trainer.train()
"""


def test_options_of_a_command_line_are_refused_where_they_would_change_the_objective():
    text = converted(migrated(PARSED, source_version="1.16.0"))
    assert 'check_option("temperature", self.temperature, "1.0 1")' in text
    assert '"beta": "1.0 1",' in text
    assert "teacher_model=training_args.teacher_model_name_or_path," in text


def test_freezing_the_teacher_is_nothing_to_do():
    text = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM
from trl import DistillationConfig, DistillationTrainer

teacher = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-1.7B")
teacher.eval()
teacher.requires_grad_(False)
trainer = DistillationTrainer(
    model="Qwen/Qwen3-0.6B",
    teacher_model=teacher,
    args=DistillationConfig(output_dir="out"),
    train_dataset=load_dataset("trl-lib/tldr", split="train"),
)
trainer.train()
"""
    result = migrated(text, source_version="1.16.0")
    assert "requires_grad_" not in converted(result)
    assert not [item for item in result.decisions if item.fidelity is Fidelity.MANUAL]

"""Uses of trainer and model besides training are converted, dropped, or left to a person."""

from __future__ import annotations

from textwrap import indent

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import LORA, SFT, converted, migrated, sft

EXACT, APPROXIMATE, DROPPED, MANUAL = Fidelity
BASE = 'output_dir="out", save_strategy="no"'


def with_model(after: str = "", before: str = ""):
    head = "from transformers import AutoModelForCausalLM\n"
    text = SFT.format(config=BASE, lora=LORA, trainer="", after=after)
    load = f'model = AutoModelForCausalLM.from_pretrained("m")\n{before}\nconfig ='
    text = text.replace("config =", load, 1).replace('model="Qwen/Qwen3-0.6B"', "model=model")
    return migrated(head + text)


def use_of(result, chain: str):
    found = [
        item
        for item in result.decisions
        if item.found.name.endswith(chain) and item.found.kind == "method"
    ]
    return found[0]


@pytest.mark.parametrize(
    ("after", "chain", "fidelity", "line"),
    [
        (
            'trainer.save_model("x/final")',
            "save_model",
            APPROXIMATE,
            'save_state(name="final").result()',
        ),
        (
            "trainer.save_model()",
            "save_model",
            APPROXIMATE,
            "save_state(name=Path(config.output_dir).name)",
        ),
        ("trainer.save_model(path)", "save_model", APPROXIMATE, "save_state(name=Path(path).name)"),
        (
            'trainer.model.save_pretrained("x")',
            "save_pretrained",
            APPROXIMATE,
            'save_state(name="x")',
        ),
        ("print(trainer.state.log_history)", "log_history", APPROXIMATE, "metrics.jsonl"),
        (
            "for x in trainer.state.log_history:\n    print(x)",
            "log_history",
            APPROXIMATE,
            "for x in [json.loads(",
        ),
        (
            "if trainer.is_world_process_zero():\n    print(1)",
            "is_world_process_zero",
            EXACT,
            "if True:\n    print(1)",
        ),
        (
            "x = trainer.is_world_process_zero() or 2",
            "is_world_process_zero",
            EXACT,
            "x = True or 2",
        ),
        (
            "while (trainer.is_world_process_zero()):\n    break",
            "is_world_process_zero",
            EXACT,
            "while (True):",
        ),
        (
            "if 0:\n    pass\nelif trainer.accelerator.is_main_process:\n    print(1)",
            "is_main_process",
            EXACT,
            "elif True:",
        ),
    ],
)
def test_a_use_with_a_counterpart_is_converted(after, chain, fidelity, line):
    result = sft(after=after)
    assert line in converted(result)
    assert use_of(result, chain).fidelity is fidelity


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (
            "trainer.evaluate()",
            'print({"eval_loss": evaluate(training_client, eval_rows, config)})',
        ),
        (
            "m = trainer.evaluate()",
            'm = {"eval_loss": evaluate(training_client, eval_rows, config)}',
        ),
        ("m = trainer.evaluate(other)", "for row in other]"),
        ("m = trainer.evaluate(a if b else c)", "for row in (a if b else c)]"),
        ('print(trainer.evaluate()["eval_loss"])', 'print({"eval_loss": evaluate('),
        ('if trainer.evaluate()["eval_loss"] < 1:\n    print(1)', 'if {"eval_loss": evaluate('),
    ],
)
def test_evaluation_after_training_is_called(after, line):
    assert line in converted(sft(trainer="eval_dataset=dataset", after=after))


@pytest.mark.parametrize(
    "after", ["trainer.save_state()", "trainer.create_model_card()", 'trainer.log_metrics("a", {})']
)
def test_housekeeping_goes(after):
    result = sft(after=after)
    assert "trainer." not in converted(result)
    assert "TODO" not in converted(result)


@pytest.mark.parametrize(
    "after",
    [
        "trainer.push_to_hub()",
        "trainer.predict(dataset)",
        "trainer.no_such_method()",
        "x = trainer.get_train_dataloader()",
        "for batch in trainer.get_train_dataloader():\n    print(batch)",
        "with trainer.accelerator.autocast():\n    print(1)",
        "print(trainer)",
        "print(trainer, trainer.state.log_history)",
        "assert trainer",
        "model = trainer.model\nmodel.generate()",
    ],
)
def test_what_has_no_counterpart_becomes_a_comment_for_a_person(after):
    result = sft(after=after)
    text = converted(result)
    assert "TODO[mint-migrate " in text
    assert MANUAL in {item.fidelity for item in result.decisions}
    assert "\n# " + after.splitlines()[0] in text


@pytest.mark.parametrize(
    "after",
    [
        "print(model)",
        "model.generate()",
        "x = model.config.vocab_size",
        "total = sum(p.numel() for p in model.parameters())",
    ],
)
def test_what_is_done_with_the_model_is_for_a_person(after):
    result = with_model(after)
    assert f"\n# {after}" in converted(result)
    assert MANUAL in {item.fidelity for item in result.decisions}


def test_a_broken_statement_takes_those_that_need_its_result_with_it():
    text = converted(
        sft(after="loader = trainer.get_x()\nbatch = next(loader)\nprint(batch)\nprint('kept')")
    )
    for line in ("loader = trainer", "batch = next", "print(batch)"):
        assert f"# {line}" in text
    assert "\nprint('kept')" in text


def test_names_bound_inside_a_broken_statement_are_gone_with_it():
    after = """
found = trainer.get_x()
if found:
    word = found[0]
else:
    word = str(found)
print(word)
size = 1
if found:
    size = 2
print(size)
"""
    text = converted(sft(after=after))
    assert "# print(word)" in text
    assert "\nprint(size)" in text


@pytest.mark.parametrize(
    ("after", "kept"),
    [
        ("del trainer", None),
        ("del trainer, dataset", "del dataset"),
        ("del dataset", "del dataset"),
        ("del trainer, config", "del config"),
    ],
)
def test_del_loses_the_variables_that_are_gone(after, kept):
    text = converted(sft(after=after))
    lines = [line for line in text.splitlines() if line.startswith("del ")]
    assert lines == ([] if kept is None else [kept])


def test_del_of_the_model_goes():
    assert "del " not in converted(with_model("del model\ndel trainer"))


@pytest.mark.parametrize(
    "before",
    [
        "dataset = dataset.map(lambda row: encode(row, model))",
        "dataset = build(model)",
        "rows = build(model)\ndataset = dataset.add(rows)",
        "if model:\n    dataset = dataset.select(1)",
    ],
)
def test_rows_that_need_the_model_stop_the_conversion(before):
    result = with_model(before=before)
    assert result.text is None
    assert "training needs" in result.notices[0]


def test_a_block_that_cannot_stay_stops_the_conversion_of_training_inside_it():
    head = "from accelerate import Accelerator\naccelerator = Accelerator()\n"
    text = SFT.format(config=BASE, lora=LORA, trainer="", after="")
    result = migrated(
        head + text.replace("trainer.train()", "with accelerator.autocast():\n    trainer.train()")
    )
    assert result.text is None


def test_where_training_failed_there_is_nothing_to_save():
    text = SFT.format(config=BASE, lora=LORA, trainer="", after="").replace(
        "trainer.train()",
        'try:\n    trainer.train()\nexcept KeyboardInterrupt:\n    trainer.save_model("x")',
    )
    result = migrated(text)
    assert use_of(result, "save_model").fidelity is MANUAL
    assert '    # trainer.save_model("x")\n    pass\n' in converted(result)


@pytest.mark.parametrize(
    "before",
    [
        "trainer.evaluate()",
        "x = trainer.evaluate()",
        'trainer.save_model("x")',
        "print(trainer.state.log_history)",
    ],
)
def test_before_training_there_is_no_client(before):
    text = SFT.format(config=BASE, lora=LORA, trainer="eval_dataset=dataset", after="").replace(
        "trainer.train()", f"{before}\ntrainer.train()"
    )
    result = migrated(text)
    assert f"# {before}" in converted(result)
    assert MANUAL in {item.fidelity for item in result.decisions}


def test_a_second_trainer_is_for_a_person():
    result = sft(
        after='second = SFTTrainer(model="b", args=config, train_dataset=dataset)\nsecond.train()'
    )
    text = converted(result)
    assert "# second = SFTTrainer(" in text
    assert "# second.train()" in text
    last = [item for item in result.decisions if item.found.name == "trl.SFTTrainer.train"][-1]
    assert last.fidelity is MANUAL


def test_every_decision_but_exact_says_why():
    result = sft(after="trainer.push_to_hub()\ntrainer.save_model()\ntrainer.save_state()")
    bare = [
        item
        for item in result.decisions
        if item.fidelity is not EXACT and not (item.code and item.note)
    ]
    assert bare == []


DEAD = """
if False:
    model = AutoModelForCausalLM.from_pretrained("out")
    dataset = trainer.get_x()
"""


def test_a_name_means_what_the_last_sure_binding_gave_it():
    result = with_model(f'model.save_pretrained("x")\n{DEAD}model.save_pretrained("y")')
    assert 'save_state(name="x")' in result.text
    assert 'save_state(name="y")' in result.text


def test_a_name_that_one_of_two_branches_bound_again_means_neither_for_sure():
    again = 'if len(dataset) > 3:\n    model = AutoModelForCausalLM.from_pretrained("other")\n'
    result = with_model(f'{again}model.save_pretrained("x")')
    assert "save_state" not in result.text


def test_a_model_that_is_loaded_after_training_is_not_the_trained_one():
    load = 'model = AutoModelForCausalLM.from_pretrained("other")\n'
    result = with_model(f'{load}model.save_pretrained("x")')
    assert "save_state" not in (result.text or "")
    assert use_of(result, "save_pretrained").fidelity is MANUAL


@pytest.mark.parametrize("is_repeated", [False, True])
def test_what_follows_training_stops_it_only_in_a_loop(is_repeated):
    text = SFT.format(config=BASE, lora=LORA, trainer="", after="dataset = trainer.get_x()")
    start = text.index("trainer = ")
    loop = f"for _ in range(2):\n{indent(text[start:], '    ')}"
    result = migrated(f"{text[:start]}{loop}" if is_repeated else text)
    assert (result.text is None) is is_repeated

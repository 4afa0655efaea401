"""Which constructions of a trainer are converted, and which are left alone with a reason."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Skipped
from mint_migrate.model.plan import Fidelity
from support.scripts import LORA, SFT, converted, decision, migrated, outcome, sft

PLAIN = SFT.format(config='output_dir="out", save_strategy="no"', lora=LORA, trainer="", after="")
TRAINER = PLAIN[PLAIN.index("trainer = ") : PLAIN.index("trainer.train()")].rstrip()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("trainer = SFTTrainer(", "trainer = SFTTrainer(*args, ", "hides what the trainer"),
        ("trainer = SFTTrainer(", "trainer = SFTTrainer(**kwargs(), ", "hides what the trainer"),
        ("trainer = SFTTrainer(", 'trainer = SFTTrainer("a", ', "given twice"),
        ("trainer = SFTTrainer(", "print(SFTTrainer(", "not bound to a name"),
        ("trainer = SFTTrainer(", "x = trainer = SFTTrainer(", "not bound to a name"),
        ("trainer.train()", "print(1)", "never trained here"),
        ("trainer.train()", "trainer.train()\ntrainer.train()", "trained 2 times"),
        ("trainer.train()", "print(trainer.train())", "inside an expression"),
        ("trainer.train()", "run = lambda: trainer.train()", "inside an expression"),
        ("trainer.train()", "dataset = None\ntrainer.train()", "`dataset` changes"),
        ("trainer.train()", "del dataset\ntrainer.train()", "`dataset` changes"),
        ("trainer.train()", "for dataset in []:\n    pass\ntrainer.train()", "`dataset` changes"),
        ("    train_dataset=dataset,\n", "", "without `train_dataset`"),
        ('    model="Qwen/Qwen3-0.6B",\n', "", "without a model"),
        ("args=config", "args=3", "cannot be seen"),
        ("args=config", "args=LoraConfig()", "not a configuration"),
        (
            "    train_dataset=dataset,",
            "    train_dataset=dataset,\n    eval_dataset={'a': dataset},",
            "dictionary of evaluation",
        ),
        ('split="train"', 'split="train", streaming=True', "streamed"),
        ("dataset = load", "types = 3\ndataset = load", "`types` is something else"),
        ("dataset = load", "import types\ndataset = load", "`types` is something else"),
        ("dataset = load", "def math(): pass\ndataset = load", "`math` is something else"),
        ("dataset = load", "from mylib import Path\ndataset = load", "`Path` is something else"),
    ],
)
def test_a_trainer_that_cannot_be_followed_is_left_alone(old, new, reason):
    assert old in PLAIN
    text = PLAIN.replace(old, new)
    if new.startswith("print(SFT"):
        text = text.replace("\n    \n)", "\n    \n))")
    result = migrated(text)
    assert result.text is None
    assert reason in result.notices[0]
    assert {item.fidelity for item in result.decisions} == {Fidelity.MANUAL}


def test_a_trainer_built_twice_is_left_alone():
    result = migrated(
        PLAIN.replace("trainer.train()", f"if dataset:\n    {TRAINER}\ntrainer.train()")
    )
    assert result.text is None
    assert "2 places" in result.notices[0]


def test_a_global_trainer_is_left_alone():
    body = "".join(
        f"    {line}\n" for line in f"global trainer\n{TRAINER}\ntrainer.train()".splitlines()
    )
    result = migrated(
        PLAIN.replace(TRAINER, "").replace("trainer.train()", f"def main():\n{body}\nmain()")
    )
    assert "global variable" in result.notices[0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import torch\nprint('trl')", "MM107"),
        ("import transformers\ntransformers.set_seed(1)", "MM107"),
        ("# trl\nclass SFTTrainer:\n    pass\nSFTTrainer()", "MM108"),
    ],
)
def test_a_file_that_uses_no_framework_is_skipped(text, code):
    result = outcome(text)
    assert isinstance(result, Skipped)
    assert result.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("from trl import DPOTrainer\nt = DPOTrainer()\nt.train()", "MM230"),
        (
            "import trl\nclass A(trl.SFTTrainer):\n  def f(self): pass\na = A()\na.train()",
            "MM202",
        ),
        ("from trl import *\nSFTTrainer()", "MM201"),
        ("import trl", "MM201"),
    ],
)
def test_what_has_no_conversion_says_so(text, code):
    result = migrated(text)
    assert result.text is None
    assert result.notices[0].startswith(code)


@pytest.mark.parametrize(
    ("argument", "fidelity"),
    [
        ("data_collator=None", Fidelity.EXACT),
        ("callbacks=None", Fidelity.EXACT),
        ("callbacks=[print]", Fidelity.MANUAL),
        ("compute_metrics=print", Fidelity.MANUAL),
        ("compute_loss_func=print", Fidelity.MANUAL),
        ("optimizers=(None, None)", Fidelity.EXACT),
        ("optimizers=(a, b)", Fidelity.MANUAL),
        ("preprocess_logits_for_metrics=print", Fidelity.MANUAL),
        ("quantization_config=None", Fidelity.EXACT),
        ("no_such_argument=1", Fidelity.MANUAL),
        ("eval_dataset=None", Fidelity.EXACT),
    ],
)
def test_each_argument_of_the_trainer_is_decided(argument, fidelity):
    result = sft(trainer=argument)
    assert decision(result, f"trl.SFTTrainer.{argument.split('=')[0]}").fidelity is fidelity


@pytest.mark.parametrize("name", ["callbacks", "compute_metrics", "data_collator"])
def test_an_argument_for_a_person_marks_the_training_call(name):
    text = converted(sft(trainer=f"{name}=[print]"))
    marker = text.index("TODO[mint-migrate ")
    assert marker < text.index("\ntraining_client = train(")


def test_comments_of_arguments_stay():
    text = PLAIN.replace(
        "    train_dataset=dataset,", "    # clean\n    train_dataset=dataset,  # 3k rows"
    )
    assert "    # clean\n    train_dataset=dataset,  # 3k rows\n" in converted(migrated(text))


def test_arguments_may_come_from_a_dictionary():
    text = PLAIN.replace("    train_dataset=dataset,\n", "    **rows,\n").replace(
        "trainer = ", 'rows = {"train_dataset": dataset}\ntrainer = '
    )
    result = converted(migrated(text))
    assert "train_dataset=dataset,\n)" in result
    assert "rows = {" not in result


def test_names_that_the_script_has_are_not_taken():
    taken = ("train", "training_client", "tokenize_row", "build_batch", "learning_rate_at")
    bound = "".join(f"{name} = 1\n" for name in taken)
    result = converted(migrated(PLAIN.replace("dataset = load", f"{bound}dataset = load")))
    for name in taken:
        assert f"def {name}(" not in result
    assert "mint_client = train_sft(" in result


@pytest.mark.parametrize(
    "shape",
    [
        "if True:\n{}",
        "for seed in (1, 2):\n{}",
        "with open('x') as handle:\n{}",
        "try:\n{}\nfinally:\n    pass",
        "def main():\n{}\nmain()",
        "async def main():\n{}\n",
        "class Job:\n    def run(self):\n    {}\n",
        "match 1:\n    case 1:\n    {}\n",
        "while True:\n{}\n    break",
    ],
)
def test_a_trainer_is_converted_wherever_it_stands(shape):
    depth = 8 if "\n    {}" in shape else 4
    head, body = PLAIN[: PLAIN.index("dataset =")], PLAIN[PLAIN.index("dataset =") :]
    indented = "".join(
        " " * depth + line + "\n" for line in body.strip().splitlines() if line.strip()
    )
    text = converted(migrated(head + shape.replace("    {}", "{}").format(indented)))
    # Nobody reads the client of a function, so it is not bound there.
    is_module = not any(word in shape for word in ("def ", "class "))
    start = "training_client = train(" if is_module else "train("
    assert f"\n{' ' * depth}{start}\n" in text
    assert " " * depth + "    config,\n" in text


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("if True: trainer.train()", "if True:\n    training_client = train(\n"),
        ("x = 1; trainer.train(); y = 2", "x = 1\ntraining_client = train(\n"),
        ("trainer.train()  # go", ")  # go\n"),
        ("trainer.train(\n)", "training_client = train(\n"),
    ],
)
def test_training_may_share_its_line(line, written):
    assert written in converted(migrated(PLAIN.replace("trainer.train()", line)))


def test_all_on_one_line_with_semicolons():
    text = PLAIN.replace("\ntrainer = ", "; trainer = ").replace(
        "\ntrainer.train()", "; trainer.train()"
    )
    assert "\ntraining_client = train(\n" in converted(migrated(text))


OLD = PLAIN.replace("    train_dataset=dataset,", "    train_dataset=dataset,\n    {},")


@pytest.mark.parametrize(
    ("argument", "written"),
    [
        ("max_seq_length=64", "    max_length=64,"),
        ("max_seq_length=args.length", "    max_length=args.length,"),
        ("dataset_text_field='body'", "row['body']"),
        ("dataset_text_field=args.field", "row[config.dataset_text_field]"),
    ],
)
def test_arguments_that_moved_to_the_configuration_go_there(argument, written):
    assert written in converted(migrated(OLD.format(argument)))


@pytest.mark.parametrize("argument", ["max_seq_length=size", "dataset_text_field=size"])
def test_an_argument_that_is_not_known_yet_where_the_configuration_stands_is_left_alone(argument):
    result = migrated(OLD.format(argument).replace("trainer = ", "size = 64\ntrainer = "))
    assert result.text is None
    assert "`size` is set between" in result.notices[0]


def test_a_trainer_that_is_not_converted_beside_another_says_why():
    second = (
        "from trl import DPOTrainer\n"
        "second = DPOTrainer('Qwen/Qwen3-0.6B', train_dataset=dataset, **kwargs())\n"
        "second.train()\n"
    )
    result = migrated(PLAIN + second)
    assert "# second = DPOTrainer(" in converted(result)
    assert any("hides what the trainer is given" in notice for notice in result.notices)
    assert "TODO[mint-migrate MM291]" in converted(result)

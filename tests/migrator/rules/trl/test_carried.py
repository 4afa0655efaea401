"""Models that reach their trainer through functions, parameters and attributes of the file."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated
from support.walker import found

HEAD = """
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

ROWS = load_dataset("acme/chats", split="train")

"""
TRAIN = """
trainer = SFTTrainer(model={model}, args=SFTConfig(output_dir="out"), train_dataset=ROWS)
trainer.train()
"""


def script(before: str, model: str = "model", after: str = "") -> str:
    """Return a script that makes a model and trains it."""
    return HEAD + dedent(before) + TRAIN.format(model=model) + dedent(after)


def migrate(text: str) -> Migrated:
    """Migrate *text*; its decisions must be what the walker finds."""
    result = migrated(text, source_version="1.16.0")
    ours = [
        (item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in result.decisions
    ]
    theirs = [(item.kind, item.line, item.column) for item in found(text)]
    assert sorted(ours) == sorted(theirs)
    return result


LOADS = {
    "a name": "model = AutoModelForCausalLM.from_pretrained(name)\nreturn model",
    "the call": "return AutoModelForCausalLM.from_pretrained(name)",
    "moved": "model = AutoModelForCausalLM.from_pretrained(name)\nreturn model.to('cuda')",
    "moved at once": "return AutoModelForCausalLM.from_pretrained(name).half()",
    "wrapped": "model = AutoModelForCausalLM.from_pretrained(name)\n"
    "return get_peft_model(model, LoraConfig(r=4, lora_alpha=32, target_modules='all-linear'))",
}


@pytest.mark.parametrize("body", LOADS.values(), ids=LOADS)
def test_what_a_function_returns_is_the_models_name(body: str) -> None:
    text = script(f"def load(name):\n{indent(body, '    ')}\n\nmodel = load('Qwen/Qwen3-0.6B')\n")
    result = converted(migrate(text))
    assert "from_pretrained(name" not in result
    namespace: dict[str, object] = {}
    start = result.index("def load(name)")
    exec(result[start : result.index("\n\n", start)], namespace)
    assert namespace["load"]("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"  # type: ignore[operator]
    assert "base_model=model," in result


def test_one_of_several_results_is_followed() -> None:
    body = """
    def load():
        tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
        return tokenizer, AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")

    tokenizer, model = load()
    """
    result = converted(migrate(script(body)))
    assert 'return tokenizer, "Qwen/Qwen3-0.6B"' in result


def test_each_branch_of_a_loader_leaves_its_own_name() -> None:
    body = """
    def load(small):
        if small:
            model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
        else:
            model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B", load_in_4bit=True)
        return model
    """
    result = converted(migrate(script(body, "load(True)")))
    assert 'model = "Qwen/Qwen3-0.6B"' in result
    assert 'model = "Qwen/Qwen3-4B"' in result
    assert "base_model=load(True)," in result


def test_the_rank_of_a_helper_is_written_as_the_trainer_knows_it() -> None:
    body = """
    settings = {"rank": 4}

    def load(options):
        model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
        return get_peft_model(model, LoraConfig(r=options["rank"], target_modules="all-linear"))

    model = load(settings)
    """
    assert "rank=settings['rank']," in converted(migrate(script(body)))


def test_a_rank_that_only_the_helper_knows_is_refused() -> None:
    body = """
    def load(path):
        rank = len(open(path).read())
        model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
        return get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear"))

    model = load("rank.txt")
    """
    result = migrate(script(body))
    assert result.text is None
    assert "`rank` is known where the model is loaded" in result.notices[0]


def test_a_parameter_takes_what_every_call_passes() -> None:
    text = HEAD + dedent(
        """
        def fit(model, rows):
            model.config.use_cache = False
            trainer = SFTTrainer(model=model, args=SFTConfig(output_dir="out"), train_dataset=rows)
            trainer.train()

        fit(AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B"), ROWS)
        """
    )
    result = migrate(text)
    assert decision(result, "model.config.use_cache").fidelity is Fidelity.DROPPED
    assert 'fit("Qwen/Qwen3-0.6B", ROWS)' in converted(result)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("def fit(model):\n    pass\nmodel = fit(1)\n", "what `fit` returns cannot be seen"),
        ("from helpers import load\nmodel = load()\n", "`load(...)`"),
        (
            "def load():\n    yield AutoModelForCausalLM.from_pretrained('a')\nmodel = load()\n",
            "what `load` returns cannot be seen",
        ),
        ("for model in load_all():\n    pass\n", "`model` comes from cannot be seen"),
    ],
)
def test_what_cannot_be_followed_is_left_alone(before: str, reason: str) -> None:
    result = migrate(script(before))
    assert result.text is None
    assert reason in result.notices[0]


def test_a_parameter_nobody_passes_is_left_alone() -> None:
    text = HEAD + dedent(
        """
        def fit(model):
            trainer = SFTTrainer(model=model, args=SFTConfig(output_dir="out"), train_dataset=ROWS)
            trainer.train()
        """
    )
    result = migrate(text)
    assert result.text is None
    assert "is a parameter" in result.notices[0]


def test_a_text_parameter_is_a_name() -> None:
    text = HEAD + dedent(
        """
        def fit(model: str):
            trainer = SFTTrainer(model=model, args=SFTConfig(output_dir="out"), train_dataset=ROWS)
            trainer.train()
        """
    )
    assert "base_model=model," in converted(migrate(text))


def test_code_that_looks_into_the_model_becomes_a_comment() -> None:
    body = """
    from elsewhere import describe

    def load():
        return AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")

    model = load()
    describe(model)
    print(model)
    """
    result = converted(migrate(script(body)))
    assert "# describe(model)" in result
    assert "\nprint(model)" in result


def test_a_loader_that_no_trainer_uses_is_left_alone() -> None:
    body = """
    def judge(name):
        return AutoModelForCausalLM.from_pretrained(name)
    """
    result = converted(migrate(script(body, '"Qwen/Qwen3-0.6B"')))
    assert "return AutoModelForCausalLM.from_pretrained(name)" in result


def test_a_save_in_a_function_that_does_not_see_the_client_is_for_a_person() -> None:
    text = HEAD + dedent(
        """
        def fit(model):
            trainer = SFTTrainer(model=model, args=SFTConfig(output_dir="out"), train_dataset=ROWS)
            trainer.train()

        def keep(model):
            model.save_pretrained("kept")

        base = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
        fit(base)
        keep(base)
        """
    )
    result = migrate(text)
    assert decision(result, "model.save_pretrained").fidelity is Fidelity.MANUAL
    assert '# model.save_pretrained("kept")' in converted(result)

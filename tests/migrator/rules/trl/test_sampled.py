"""`model.generate` beside the training is answered by a sampling client."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def ask(m, text):
    return tokenizer.decode(m.generate(**tokenizer(text, return_tensors="pt").to(m.device))[0])

def count(m):
    return m.num_parameters()

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
{before}
trainer = SFTTrainer(
    model=model,
    args=SFTConfig(output_dir="out", save_strategy="no"),
    train_dataset=load_dataset("acme/chats", split="train"),
)
trainer.train()
{after}
"""
BASE = (
    "model = SampledModel("
    'mint.ServiceClient().create_sampling_client(base_model="Qwen/Qwen3-0.6B"))'
)
TRAINED = "model = SampledModel(training_client.save_weights_and_get_sampling_client())"


def result(before: str = "", after: str = "") -> str:
    return converted(migrated(SCRIPT.format(before=before, after=after)))


@pytest.mark.parametrize(
    ("before", "after", "base", "trained"),
    [
        ('out = model.generate(**tokenizer("hi", return_tensors="pt"))', "", True, False),
        ("", "out = model.generate(input_ids=None, do_sample=True, top_p=0.5)", False, True),
        ('print(ask(model, "hi"))', 'print(ask(m=model, text="hi"))', True, True),
        ("", 'print(ask(model, "a"), ask(model, "b"))', False, True),
    ],
)
def test_the_variable_is_bound_where_the_script_samples(before, after, base, trained):
    text = result(before, after)
    assert (BASE in text) is base
    assert (TRAINED in text) is trained
    assert "class SampledModel:" in text
    for line in filter(None, (before, after)):
        assert f"\n{line}\n" in text
    assert "TODO" not in text


def test_it_is_approximate_with_a_reason():
    done = migrated(SCRIPT.format(before="", after="out = model.generate(input_ids=None)"))
    found = decision(done, "model.generate")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM229")
    assert "greedy" in found.note


def test_the_model_of_the_trainer_is_sampled_too():
    text = result(after="out = trainer.model.generate(input_ids=None, max_new_tokens=4)")
    sampled = "SampledModel(training_client.save_weights_and_get_sampling_client())"
    assert f"out = {sampled}.generate(input_ids=None, max_new_tokens=4)" in text


@pytest.mark.parametrize(
    "after",
    [
        "out = model.generate(input_ids=None, num_beams=4)",
        "out = model.generate(input_ids=None, repetition_penalty=1.1)",
        "out = model.generate(*inputs)",
        "print(count(model))",
        "print(ask(model, 'a'), count(model))",
        "models = [model]",
    ],
)
def test_other_uses_are_for_a_person(after):
    text = result(after=after)
    assert "SampledModel" not in text
    assert "TODO[mint-migrate" in text


def test_a_use_that_does_more_than_sample_becomes_a_comment():
    done = migrated(SCRIPT.format(before="print(ask(model, 'a'))", after="models = [model]"))
    assert "# models = [model]" in converted(done)
    loader = decision(done, "transformers.AutoModelForCausalLM.from_pretrained")
    assert (loader.fidelity, loader.code) == (Fidelity.MANUAL, "MM228")


def test_a_call_that_only_readies_the_model_goes():
    text = SCRIPT.format(
        before="",
        after="FastLanguageModel.for_inference(model)\nout = model.generate(input_ids=None)",
    )
    done = converted(migrated(f"from unsloth import FastLanguageModel\n{text}"))
    assert "for_inference" not in done
    assert "out = model.generate(input_ids=None)" in done

"""Model and LoRA configuration become the arguments of the training client."""

from __future__ import annotations

import re

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import SFT, converted, decision, migrated, sft

SCRIPT = """
import os
from datasets import load_dataset
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

NAME = "acme/model"
dataset = load_dataset("acme/chats", split="train")
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
{model}
config = SFTConfig(output_dir="out", save_strategy="no")
trainer = SFTTrainer({argument}, args=config, train_dataset=dataset{peft})
trainer.train()
"""
LOAD = 'model = AutoModelForCausalLM.from_pretrained("acme/model")'


def script(
    model: str = "",
    argument: str = "model=model",
    peft: str = ", peft_config=lora",
    **options: object,
):
    return migrated(SCRIPT.format(model=model, argument=argument, peft=peft), **options)


def call(text: str) -> dict[str, str]:
    """Return what `train` is given."""
    inside = text.rsplit("training_client = train(", 1)[1].split("\n)", 1)[0]
    return dict(re.findall(r"^    (\w+)=(.*),$", inside, re.MULTILINE))


@pytest.mark.parametrize(
    ("model", "argument", "name"),
    [
        ("", 'model="acme/model"', '"acme/model"'),
        ("", '"acme/model"', '"acme/model"'),
        ("", "model=NAME", "NAME"),
        ("", "model=NAME if NAME else 'x'", "NAME if NAME else 'x'"),
        ("", 'model=os.environ.get("M", NAME)', 'os.environ.get("M", NAME)'),
        ('name = os.environ["M"]', "model=name", "name"),
        (LOAD, "model=model", '"acme/model"'),
        (LOAD.replace('"acme/model"', "NAME, torch_dtype='auto'"), "model=model", "NAME"),
        (LOAD.replace('"acme/model"', "pretrained_model_name_or_path=NAME"), "model=model", "NAME"),
        ("", "model=AutoModelForCausalLM.from_pretrained(NAME)", "NAME"),
        (LOAD + "\nmodel = prepare_model_for_kbit_training(model)", "model=model", '"acme/model"'),
    ],
)
def test_a_model_is_named_where_the_client_is_created(model, argument, name):
    assert call(converted(script(model, argument)))["base_model"] == name


def test_get_peft_model_is_seen_through():
    result = script(f"{LOAD}\nmodel = get_peft_model(model, lora)", peft="")
    text = converted(result)
    assert call(text)["base_model"] == '"acme/model"'
    assert call(text)["rank"] == "lora_rank"
    assert "get_peft_model" not in text


def test_another_base_model_may_be_named():
    assert call(converted(script(LOAD, base_model="mint/other")))["base_model"] == '"mint/other"'


@pytest.mark.parametrize(
    ("model", "argument", "reason"),
    [
        ("model = build(NAME)", "model=model", "is made by `build(...)`"),
        ("model, tokenizer = build(NAME)", "model=model", "cannot be seen"),
        ("", "model=unknown", "cannot be seen"),
        ("", "args_only=1", "without a model"),
        ("model = AutoModelForCausalLM.from_config(1)", "model=model", "has no conversion"),
        ("model = get_peft_model()", "model=model", "without a model"),
        (LOAD + "\nother = model", "model=other", "two names"),
        (LOAD.replace('"acme/model"', "NAME") + '\nNAME = "b"', "model=model", "`NAME` changes"),
    ],
)
def test_a_model_that_cannot_be_followed_is_left_alone(model, argument, reason):
    result = script(model, argument)
    assert result.text is None
    assert reason in result.notices[0]


def test_a_model_given_to_a_function_is_left_alone():
    text = SFT.format(config="", lora="r=8", trainer="", after="").replace(
        'model="Qwen/Qwen3-0.6B"', "model=model"
    )
    body = "".join(f"    {line}\n" for line in text.strip().splitlines()[4:])
    result = migrated("\n".join(text.strip().splitlines()[:4]) + f"\ndef main(model):\n{body}")
    assert "is a parameter" in result.notices[0]


def test_a_model_loaded_where_its_name_is_local_leaves_the_name_on_self():
    result = migrated(
        """
        from transformers import AutoModelForCausalLM
        from trl import SFTTrainer
        class Job:
            def __init__(self, name, rows):
                self.rows = rows
                self.model = AutoModelForCausalLM.from_pretrained(name)
            def run(self):
                trainer = SFTTrainer(model=self.model, train_dataset=self.rows)
                trainer.train()
        """
    )
    text = converted(result)
    assert "self.model = name  # MinT loads the model" in text
    assert "base_model=self.model," in text


@pytest.mark.parametrize(
    ("targets", "options", "fidelity"),
    [
        ('"all-linear"', {"train_unembed=False"}, Fidelity.EXACT),
        (
            '["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]',
            {"train_unembed=False"},
            Fidelity.EXACT,
        ),
        (
            '["q_proj", "k_proj", "v_proj", "o_proj"]',
            {"train_mlp=False", "train_unembed=False"},
            Fidelity.EXACT,
        ),
        (
            '("gate_proj", "up_proj", "down_proj")',
            {"train_attn=False", "train_unembed=False"},
            Fidelity.EXACT,
        ),
        (
            '["q_proj", "k_proj", "v_proj", "o_proj", '
            '"gate_proj", "up_proj", "down_proj", "lm_head"]',
            set(),
            Fidelity.EXACT,
        ),
        ('["q_proj", "v_proj"]', {"train_mlp=False", "train_unembed=False"}, Fidelity.APPROXIMATE),
        ('["up_proj"]', {"train_attn=False", "train_unembed=False"}, Fidelity.APPROXIMATE),
        ('["q_proj", "up_proj"]', {"train_unembed=False"}, Fidelity.APPROXIMATE),
        ("None", {"train_mlp=False", "train_unembed=False"}, Fidelity.APPROXIMATE),
        ("modules", {"train_unembed=False"}, Fidelity.APPROXIMATE),
        ('r".*proj"', {"train_unembed=False"}, Fidelity.APPROXIMATE),
    ],
)
def test_target_modules_choose_what_is_trained(targets, options, fidelity):
    result = sft(lora=f"r=16, lora_alpha=32, target_modules={targets}")
    assert set(re.findall(r"train_(?:attn|mlp|unembed)=\w+", converted(result))) == options
    assert decision(result, "peft.LoraConfig.target_modules").fidelity is fidelity


@pytest.mark.parametrize(
    ("option", "fidelity"),
    [
        ("lora_alpha=32", Fidelity.EXACT),
        ("lora_alpha=16", Fidelity.APPROXIMATE),
        ("lora_alpha=2 * 16", Fidelity.APPROXIMATE),
        ("lora_dropout=0.0", Fidelity.EXACT),
        ("lora_dropout=0.1", Fidelity.APPROXIMATE),
        ('bias="none"', Fidelity.EXACT),
        ('bias="all"', Fidelity.APPROXIMATE),
        ("use_rslora=False", Fidelity.EXACT),
        ("use_rslora=True", Fidelity.APPROXIMATE),
        ("use_dora=True", Fidelity.APPROXIMATE),
        ('task_type="CAUSAL_LM"', Fidelity.EXACT),
        ('modules_to_save=["embed_tokens"]', Fidelity.MANUAL),
        ("no_such_option=1", Fidelity.MANUAL),
    ],
)
def test_each_lora_option_is_decided(option, fidelity):
    assert (
        decision(sft(lora=f"r=16, {option}"), f"peft.LoraConfig.{option.split('=')[0]}").fidelity
        is fidelity
    )


def test_defaults_of_peft_that_differ_make_the_call_approximate():
    result = sft(lora="r=16")
    found = next(
        item for item in result.decisions if item.found.kind == "call" and "Lora" in item.found.name
    )
    assert found.fidelity is Fidelity.APPROXIMATE
    assert "alpha is 8" in found.note
    assert "default targets" in found.note


def test_a_named_lora_configuration_leaves_its_rank():
    text = converted(script("", 'model="m"'))
    assert "lora_rank = 16\n" in text
    assert call(text)["rank"] == "lora_rank"


def test_a_rank_over_two_lines_stays_one_expression():
    text = SFT.format(config='output_dir="o"', lora="X", trainer="", after="")
    text = text.replace("LoraConfig(X)", "lora").replace(
        "config =", "lora = LoraConfig(r=8 +\n  8)\nconfig ="
    )
    assert "lora_rank = (8 +\n  8)\n" in converted(migrated(text))


def test_a_configuration_that_may_be_none_keeps_both_branches():
    branch = "if NAME:\n    peft = LoraConfig(r=4, lora_alpha=32)\nelse:\n    peft = None"
    text = converted(script(branch, 'model="m"', ", peft_config=peft"))
    assert "    lora_rank = 4\n" in text
    assert "    lora_rank = 32\n" in text


@pytest.mark.parametrize(
    ("setup", "value", "code"),
    [
        ("", "lora if NAME else None", "MM230"),
        ("", "unknown", "MM230"),
        ("lora = LoraConfig(16)", "lora", "MM291"),
        ("lora = LoraConfig(**options)", "lora", "MM291"),
        ("kw = {'r': 8}\nkw['r'] = 64\nlora = LoraConfig(**kw)", "lora", "MM291"),
        ("from peft import IA3Config\nlora = IA3Config()", "lora", "MM208"),
        ("lora = LoraConfig()\nlora = 3", "lora", "MM230"),
    ],
)
def test_a_lora_configuration_that_cannot_be_read_is_left_alone(setup, value, code):
    result = script(setup, 'model="m"', f", peft_config={value}")
    assert result.text is None
    assert result.notices[0].startswith(code)


@pytest.mark.parametrize("peft", ["", ", peft_config=None"])
def test_full_fine_tuning_is_reported(peft):
    result = script("", 'model="m"', peft)
    found = {item.code for item in result.decisions if item.fidelity is Fidelity.APPROXIMATE}
    assert "MM204" in found
    assert "MM210" in converted(result)


@pytest.mark.parametrize(
    ("value", "scaled"),
    [("2e-5", "10 * 2e-5"), ("a if b else c", "10 * (a if b else c)"), ("a + b", "10 * (a + b)")],
)
def test_the_learning_rate_of_full_fine_tuning_is_scaled_when_asked(value, scaled):
    text = SFT.format(
        config=f'output_dir="o", learning_rate={value}', lora="X", trainer="", after=""
    )
    text = text.replace("    peft_config=LoraConfig(X),\n", "")
    assert f"    learning_rate={scaled}," in converted(migrated(text, scale_lr=True))


def test_a_lora_learning_rate_is_never_scaled():
    assert "learning_rate=2e-5," in converted(
        sft(config='output_dir="o", learning_rate=2e-5', scale_lr=True)
    )


def test_a_local_path_is_noticed():
    assert any("MM237" in notice for notice in script("", 'model="./m"').notices)


CONDITIONAL = """
import os
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
{condition}
    model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
trainer = SFTTrainer(model=model, args=SFTConfig("out"), train_dataset=load_dataset("a/b"))
trainer.train()
"""


@pytest.mark.parametrize(
    ("condition", "fidelity"),
    [
        ('if os.environ.get("LORA"):', Fidelity.APPROXIMATE),
        ("with open('x'):", Fidelity.EXACT),
    ],
)
def test_an_adapter_under_a_condition_is_not_called_exact(condition, fidelity):
    result = migrated(CONDITIONAL.replace("{condition}", condition))
    calls = [item for item in result.decisions if item.found.kind == "call"]
    wrapped = next(item for item in calls if item.found.name == "peft.get_peft_model")
    assert wrapped.fidelity is fidelity
    assert ("all weights were trained" in converted(result)) is (fidelity is not Fidelity.EXACT)

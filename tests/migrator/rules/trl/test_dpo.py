"""What becomes of the options of `DPOTrainer`, release by release."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, decision, migrated

SCRIPT = """
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, TrainingArguments
from trl import DPOConfig, DPOTrainer, create_reference_model

{before}
trainer = DPOTrainer(
    "Qwen/Qwen3-0.6B",
    {trainer}
    args={config},
    train_dataset=load_dataset("some/pairs", split="train"),
    peft_config=LoraConfig(r=8, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
"""


def dpo(
    fields: str = "", *, trainer: str = "", before: str = "", version: str = "1.16.0", config=""
) -> Migrated:
    """Migrate a small script with the given arguments in their places."""
    config = config or f'DPOConfig(output_dir="out", save_strategy="no", {fields})'
    text = SCRIPT.format(config=config, trainer=trainer, before=before)
    return migrated(text, source_version=version)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ("", "losses = -logsigmoid(margins)\n"),
        ("loss_type='hinge'", "losses = torch.relu(1 - margins)\n"),
        ("loss_type=['ipo']", "rejected_scores / rejected_lengths - 1 / (2 * config.beta)) ** 2"),
        ("loss_type='robust', label_smoothing=0.1", "noise = config.label_smoothing\n"),
        ("loss_type='robust'", "losses = -logsigmoid(margins)\n"),
        ("loss_type='aot'", ".sort().values"),
        ("loss_type='sft'", "loss = losses.mean() + 0.0 * totals.sum()"),
        ("loss_type=['sigmoid', 'sft'], loss_weights=[1.0, 0.3]", "+ 0.3 * (likelihood)"),
        ("f_divergence_type='forward_kl'", "1 - torch.exp(-chosen_ratios)"),
        ("f_divergence_type='alpha_divergence'", "(config.f_alpha_divergence_coef - 1)"),
        ("ld_alpha=0.3", "mask[place] = config.ld_alpha"),
        ("max_length=64", "tokens[: config.max_length]"),
        ("max_length=64, truncation_mode='keep_end'", "tokens[-config.max_length :]"),
    ],
)
def test_an_option_shapes_the_loss_or_the_rows(fields, line):
    assert line in converted(dpo(fields))


@pytest.mark.parametrize(
    ("fields", "absent"),
    [
        ("", ("lengths", "likelihood", "noise", "sort()", "ld_alpha", "reward_means")),
        ("loss_type='hinge'", ("logsigmoid", "likelihood", "noise")),
        ("loss_type='sppo_hard'", ("logsigmoid", "margins =", "lengths")),
        ("label_smoothing=0.2", ("noise", "label_smoothing")),
        ("discopop_tau=0.1", ("blend", "discopop")),
        ("ld_alpha=None", ("ld_alpha",)),
        ("max_length=None", ("max_length",)),
        ("f_alpha_divergence_coef=0.2", ("f_alpha", "scores")),
        ("f_divergence_type='alpha_divergence', f_alpha_divergence_coef=1.0", ("scores",)),
        ("use_weighting=False, sync_ref_model=False", ("use_weighting", "sync_ref")),
        ("gradient_accumulation_steps=1", ("step_loss", "micro_batch")),
    ],
)
def test_what_has_no_effect_leaves_no_code(fields, absent):
    result = dpo(fields)
    text = converted(result)
    assert [word for word in absent if word in text] == []
    assert {item.fidelity for item in result.decisions} == {Fidelity.EXACT}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("use_weighting=True", "MM243"),
        ("sync_ref_model=True", "MM249"),
        ("loss_type='unknown'", "MM221"),
        ("loss_type=chosen", "MM292"),
        ("loss_type=['sigmoid', 'sft'], loss_weights=[1.0]", "MM221"),
        ("loss_type='nca_pair', f_divergence_type='js_divergence'", "MM221"),
        ("loss_type='ipo', ld_alpha=0.5", "MM221"),
    ],
)
def test_what_cannot_be_converted_is_refused_with_a_reason(fields, code):
    result = dpo(fields)
    assert result.text is None
    assert result.notices[0].startswith(code)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (
            "rows = load_dataset('a').map(lambda row: {'images': [], 'chosen': row['text']})",
            "MM507",
        ),
        ("rows = load_dataset('some/pairs', streaming=True)", "MM503"),
    ],
)
def test_rows_that_are_no_pairs_of_text_are_refused(before, code):
    assert dpo(before=before).notices[0].startswith(code)


@pytest.mark.parametrize(
    ("version", "fields", "present", "absent"),
    [
        ("0.19.1", "label_smoothing=0.2", "noise", "1.0 -"),
        ("0.19.1", "", "[-config.max_prompt_length :]", "commonprefix([prompt_tokens"),
        ("0.19.1", "", "max_prompt_length=512", "max_completion_length"),
        ("0.19.1", "loss_type='ipo'", "(values * mask).sum() / mask.sum()", "chosen_lengths"),
        ("0.19.1", "loss_type='bco_pair'", "config.reward_means.append", "margins ="),
        ("1.16.0", "loss_type='bco_pair'", "-logsigmoid(chosen_rewards)", "reward_means"),
        ("1.0.0", "", "start = len(prompt_tokens)", "commonprefix"),
        ("1.0.0", "max_length=32", "tokens[: config.max_length]", "left them out too"),
        ("1.9.0", "max_length=32", "left them out too", "commonprefix"),
        ("0.11.4", "", "max_prompt_length=128", "apply_chat_template"),
        ("0.11.4", "rpo_alpha=0.5", "losses.mean() + config.rpo_alpha * likelihood", "counted"),
        ("0.9.6", "rpo_alpha=0.5", "config.rpo_alpha * losses.mean() + likelihood", "counted"),
        ("0.19.1", "rpo_alpha=0.5", "!= 0)", "config.rpo_alpha * losses"),
        ("0.19.1", "reference_free=True", "ratios = totals", "reference_client"),
    ],
)
def test_a_release_decides_what_no_option_says(version, fields, present, absent):
    text = converted(dpo(fields, version=version))
    assert present in text
    assert absent not in text


def test_the_learning_rate_that_nobody_gave_is_the_releases():
    new, old = dpo(), dpo(version="0.11.4")
    assert "learning_rate=1e-06," in converted(new)
    assert "learning_rate=5e-05," in converted(old)


OLD_KEYWORDS = (
    "beta=0.3, loss_type='hinge', max_length=256, max_prompt_length=64, label_pad_token_id=-100, "
    "padding_value=0, truncation_mode='keep_start', disable_dropout=True, "
    "is_encoder_decoder=False, generate_during_eval=False,"
)


def test_options_of_the_trainer_become_fields_of_the_configuration():
    result = dpo(trainer=OLD_KEYWORDS, config='TrainingArguments("out")', version="0.8.6")
    text = converted(result)
    assert "beta=0.3," in text
    assert "max_length=256," in text
    assert "before = before[: config.max_prompt_length]" in text
    assert "torch.relu(1 - margins)" in text
    assert "padding_value" not in text


def test_an_option_given_twice_is_for_a_person():
    result = dpo("beta=0.2", trainer="beta=0.3,", version="0.11.4")
    assert result.notices[0].startswith("MM291")


@pytest.mark.parametrize(
    ("version", "arguments"),
    [
        ("0.8.6", "None, 0.3, 0.0, 'hinge', args, None, -100, 0, 'keep_end', rows"),
        ("0.13.0", "None, args, None, rows"),
        ("1.16.0", "None, args, None, rows"),
    ],
)
def test_arguments_by_position_are_those_of_the_release(version, arguments):
    config = "TrainingArguments" if version == "0.8.6" else "DPOConfig"
    text = f"""
from datasets import load_dataset
from peft import LoraConfig
from transformers import TrainingArguments
from trl import DPOConfig, DPOTrainer
rows = load_dataset("some/pairs", split="train")
args = {config}("out", save_strategy="no")
trainer = DPOTrainer("tiny", {arguments}, peft_config=LoraConfig(r=8, lora_alpha=32))
trainer.train()
"""
    result = converted(migrated(text, source_version=version))
    assert "train_dataset=rows" in result
    assert ("beta=0.3" in result) == (version == "0.8.6")


@pytest.mark.parametrize(
    ("trainer", "before", "line"),
    [
        ("", "", "create_sampling_client(base_model=base_model)"),
        ("ref_model=None,", "", "create_sampling_client(base_model=base_model)"),
        ('ref_model="Qwen/Qwen3-0.6B",', "", "create_sampling_client(base_model=base_model)"),
        (
            "ref_model=ref,",
            'ref = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")',
            "create_sampling_client(base_model=base_model)",
        ),
        (
            "ref_model=ref,",
            'ref = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-8B")',
            'reference_model="Qwen/Qwen3-8B"',
        ),
    ],
)
def test_the_reference_is_the_base_model_or_the_one_that_is_named(trainer, before, line):
    result = dpo(trainer=trainer, before=before)
    text = converted(result)
    assert line in text
    assert ("reference_model" in text) == ("8B" in line)
    if trainer:
        assert decision(result, "trl.DPOTrainer.ref_model").fidelity is Fidelity.EXACT


def test_a_copy_of_the_model_is_the_base_model():
    text = """
from peft import LoraConfig
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer, create_reference_model
model = AutoModelForCausalLM.from_pretrained("tiny")
ref = create_reference_model(model)
trainer = DPOTrainer(model, ref, args=DPOConfig("o"), train_dataset=[], peft_config=LoraConfig(r=8))
trainer.train()
"""
    result = converted(migrated(text, source_version="0.12.2"))
    assert "create_sampling_client(base_model=base_model)" in result
    assert "ref" not in result.split("trainer")[-1].split("train_dataset=[]")[-1]


def test_the_reference_is_asked_first_where_the_script_wants_that():
    early, late = dpo("precompute_ref_log_probs=True"), dpo()
    assert "    add_reference(reference_client, rows)\n" in converted(early)
    assert "    add_reference(reference_client, rows)\n" not in converted(late)


def test_a_release_that_cut_padded_batches_says_so():
    found = decision(dpo("max_length=64", version="0.16.1"), "trl.DPOConfig.max_length")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM236")
    assert (
        decision(dpo("max_length=64", version="0.19.1"), "trl.DPOConfig.max_length").fidelity
        is Fidelity.EXACT
    )


def test_a_release_that_summed_micro_batches_says_so():
    fields = "gradient_accumulation_steps=4"
    found = decision(dpo(fields, version="0.13.0"), "trl.DPOConfig.gradient_accumulation_steps")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM235")


@pytest.mark.parametrize(("version", "loses"), [("0.11.4", 0), ("0.12.2", 1), ("0.13.0", 0)])
def test_the_release_that_lost_a_token_says_so(version, loses):
    result = dpo(version=version)
    assert sum("left out the last token" in notice for notice in result.notices) == loses
    assert converted(result).count("left out the last") == loses

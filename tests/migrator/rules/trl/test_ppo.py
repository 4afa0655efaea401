"""PPO in its three forms: refused unless asked for, its loop kept, its options decided."""

from __future__ import annotations

import pytest
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision, Fidelity, Kind
from support.scripts import converted, decision, migrated

STEPS = """
import torch
from transformers import AutoTokenizer
from trl import AutoModelForCausalLMWithValueHead, PPOConfig, PPOTrainer

{before}
config = PPOConfig({config})
tokenizer = AutoTokenizer.from_pretrained("gpt2")
model = AutoModelForCausalLMWithValueHead.from_pretrained("gpt2")
trainer = PPOTrainer(config, model, None, tokenizer{trainer})
query = tokenizer("Hello", return_tensors="pt").input_ids[0]
response = trainer.generate(query, return_prompt=False{generate})
stats = trainer.step([query], [response[0]], [torch.tensor(1.0)])
{after}
"""
TRAINED = """
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import PPOConfig, PPOTrainer

name = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(name)
rewarder = AutoModelForSequenceClassification.from_pretrained("acme/rewards", num_labels=1)
critic = AutoModelForSequenceClassification.from_pretrained("acme/rewards", num_labels=1)
trainer = PPOTrainer(
    args=PPOConfig(output_dir="out", {config}),
    processing_class=tokenizer,
    model=AutoModelForCausalLM.from_pretrained(name),
    ref_model=AutoModelForCausalLM.from_pretrained({reference}),
    reward_model=rewarder,
    value_model=critic,
    train_dataset=load_dataset("acme/prompts", split="train"),
)
trainer.train()
"""


def steps(
    config: str = "",
    *,
    trainer: str = "",
    generate: str = ", max_new_tokens=8, do_sample=True",
    before: str = "",
    after: str = "",
    ppo: str | None = "critic-free",
) -> Migrated:
    """Migrate a PPO script that is driven step by step."""
    text = STEPS.format(
        config=config, trainer=trainer, generate=generate, before=before, after=after
    )
    return migrated(text, ppo=ppo, source_version="0.11.4")


def trained(config: str = "", *, reference: str = "name", version: str = "0.21.0") -> Migrated:
    """Migrate a PPO script with a reward model."""
    text = TRAINED.format(config=config, reference=reference)
    return migrated(text, ppo="critic-free", source_version=version)


@pytest.mark.parametrize("text", [STEPS, TRAINED], ids=["steps", "trained"])
def test_without_the_option_nothing_is_written_and_the_option_is_named(text: str) -> None:
    fields = {"config": "", "trainer": "", "generate": "", "before": "", "after": ""}
    result = migrated(text.format(**fields, reference="name"))
    assert result.text is None
    assert {(item.fidelity, item.code) for item in result.decisions} == {(Fidelity.MANUAL, "MM241")}
    assert "--ppo critic-free" in result.decisions[0].note


def test_the_docstring_says_that_it_is_another_algorithm() -> None:
    for result in (steps(), trained()):
        assert "no value function is trained" in converted(result).split('"""')[1]


def call_of(result: Migrated, name: str) -> Decision:
    """Return the decision about the one call of *name*."""
    kinds = {Kind.CALL, Kind.METHOD}
    found = [
        item for item in result.decisions if item.found.name == name and item.found.kind in kinds
    ]
    assert len(found) == 1, name
    return found[0]


def test_the_step_and_the_trainer_are_approximate() -> None:
    result = steps()
    for name in ("trl.PPOTrainer", "trl.PPOTrainer.step"):
        found = call_of(result, name)
        assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM259")


def test_options_of_the_critic_change_nothing_and_say_so() -> None:
    result = steps("vf_coef=0.2, cliprange_value=0.1")
    assert decision(result, "trl.PPOConfig.vf_coef").code == "MM259"
    assert "vf_coef" not in converted(result).split('"""')[2]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ('kl_penalty="abs"', "(row - base).abs()"),
        ('kl_penalty="mse"', "0.5 * (row - base).square()"),
        ("score_clip=3.0", "scores.clamp(-config.score_clip, config.score_clip)"),
        ("early_stopping=True", "> 1.5 * config.target_kl"),
        ("whiten_rewards=True", "self.whitened_rewards(rewards, masks)"),
        ("use_score_scaling=True, use_score_norm=True", "(scores - self.score_mean) / std"),
        ("max_grad_norm=0.5", "grad_clip_norm=self.config.max_grad_norm"),
        ("gradient_accumulation_steps=2", "loss / config.gradient_accumulation_steps"),
        ('log_with="wandb"', "wandb.init("),
    ],
)
def test_an_option_leaves_code_only_where_it_is_used(option: str, code: str) -> None:
    after = "trainer.log_stats(stats, {}, [torch.tensor(1.0)])"
    assert code in converted(steps(option, after=after))
    assert code not in converted(steps(after=after))


def test_a_fixed_coefficient_is_not_adapted() -> None:
    assert "self.kl_coef *=" not in converted(steps("adap_kl_ctrl=False"))
    assert "self.kl_coef *=" in converted(steps())


def test_a_penalty_over_the_vocabulary_is_refused() -> None:
    result = steps('kl_penalty="full"')
    assert result.text is None
    assert result.decisions[0].code == "MM243"


@pytest.mark.parametrize(
    "statement",
    [
        "scores = [float(letter in 'aeiou') for letter in 'hello']",
        "if trainer.accelerator.is_main_process:\n    print(stats['objective/kl'])",
        "for _ in range(3):\n    stats = trainer.step([query], [response[0]], [torch.ones(())])",
        "texts = tokenizer.batch_decode(response)",
    ],
)
def test_the_loop_keeps_its_bytes(statement: str) -> None:
    assert statement in converted(steps(after=statement))


@pytest.mark.parametrize(
    ("option", "fidelity"),
    [
        ("min_length=-1", Fidelity.EXACT),
        ("top_p=0.9", Fidelity.EXACT),
        ("use_cache=True", Fidelity.DROPPED),
        ("min_length=12", Fidelity.MANUAL),
        ("repetition_penalty=1.2", Fidelity.MANUAL),
    ],
)
def test_sampling_options_are_decided_one_by_one(option: str, fidelity: Fidelity) -> None:
    result = steps(generate=f", max_new_tokens=8, {option}")
    found = decision(result, f"trl.PPOTrainer.generate.{option.split('=')[0]}")
    assert found.fidelity is fidelity
    assert ("TODO[mint-migrate MM247]" in converted(result)) is (fidelity is Fidelity.MANUAL)


def test_an_optimizer_of_torch_becomes_its_numbers() -> None:
    result = steps(
        "learning_rate=1e-4",
        before="from torch.optim import AdamW",
        trainer=(
            ", optimizer=AdamW(model.parameters(), lr=3e-4, betas=(0.8, 0.9), weight_decay=0.2)"
        ),
    )
    text = converted(result)
    for piece in ("learning_rate=3e-4", "beta1=0.8", "beta2=0.9", "weight_decay=0.2"):
        assert piece in text


@pytest.mark.parametrize("optimizer", ["SGD(model.parameters(), lr=0.1)", "make_optimizer(model)"])
def test_another_optimizer_is_refused(optimizer: str) -> None:
    result = steps(
        before="from torch.optim import SGD\n\n\ndef make_optimizer(model):\n    return model",
        trainer=f", optimizer={optimizer}",
    )
    assert result.text is None
    assert result.decisions[0].code == "MM213"


def test_helpers_of_trl_become_plain_python() -> None:
    text = converted(
        steps(
            before="from trl.core import LengthSampler, set_seed\n\nset_seed(3)",
            after="lengths = LengthSampler(4, 16)\nprint(lengths())",
        )
    )
    assert "lengths = partial(np.random.choice, range(4, 16))" in text
    assert "np.random.seed(3)" in text
    assert "from trl" not in text


def test_a_pipeline_that_judges_stays() -> None:
    line = 'judge = pipeline("sentiment-analysis", model="acme/mood")'
    result = steps(before="from transformers import pipeline", after=line)
    assert line in converted(result)
    assert call_of(result, "transformers.pipeline").fidelity is Fidelity.EXACT


def test_a_pipeline_that_writes_is_for_a_person() -> None:
    line = 'writer = pipeline("text-generation", model="gpt2")'
    result = steps(before="from transformers import pipeline", after=line)
    assert call_of(result, "transformers.pipeline").code == "MM229"


def test_the_reference_is_the_base_model_unless_it_is_another() -> None:
    assert "reference_model" not in converted(trained())
    other = converted(trained(reference='"Qwen/Qwen3-1.7B"'))
    assert 'reference_model="Qwen/Qwen3-1.7B"' in other


def test_the_critic_is_not_loaded_and_the_reward_model_is() -> None:
    text = converted(trained())
    assert "critic =" not in text
    assert 'rewarder = AutoModelForSequenceClassification.from_pretrained("acme/rewards"' in text


@pytest.mark.parametrize(
    ("version", "rollout"),
    [
        ("0.13.0", "config.batch_size * config.num_mini_batches"),
        ("0.21.0", "config.batch_size // config.num_mini_batches"),
    ],
)
def test_mini_batches_multiply_a_batch_until_0_17_and_cut_it_since(
    version: str, rollout: str
) -> None:
    assert rollout in converted(trained("num_mini_batches=2", version=version))


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ('stop_token="eos"', "stop=[tokenizer.eos_token_id]"),
        ("stop_token_id=7", "stop=[config.stop_token_id]"),
        ("missing_eos_penalty=1.0", "scores[~ended] -= config.missing_eos_penalty"),
        ('kl_estimator="k3"', "(base - row).exp() - 1.0 - (base - row)"),
        ("whiten_rewards=True", "whiten(rewards, shift_mean=False)"),
        ("total_episodes=100", "config.total_episodes / config.batch_size"),
    ],
)
def test_an_option_of_the_later_form_leaves_code_only_where_it_is_used(
    option: str, code: str
) -> None:
    assert code in converted(trained(option))
    assert code not in converted(trained())


def test_the_original_never_clipped_gradients() -> None:
    result = trained("max_grad_norm=0.3")
    assert "grad_clip_norm=0.0" in converted(result)
    assert decision(result, "trl.PPOConfig.max_grad_norm").fidelity is Fidelity.EXACT


def test_a_temperature_is_said_to_be_approximate() -> None:
    assert decision(trained("temperature=0.7"), "trl.PPOConfig.temperature").code == "MM246"
    exact = decision(trained("temperature=1.0"), "trl.PPOConfig.temperature")
    assert exact.fidelity is Fidelity.EXACT


def test_a_release_without_the_step_is_not_believed() -> None:
    text = STEPS.format(config="", trainer="", generate=", max_new_tokens=4", before="", after="")
    result = migrated(text, ppo="critic-free", source_version="1.16.0")
    assert result.version == "0.11.4"
    assert any("not 1.16.0" in notice for notice in result.notices)

"""How options of GRPO become rounds, samples, rewards and a loss; numbers are in tests/parity."""

from __future__ import annotations

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import GRPO, LORA, converted, decision, grpo, migrated

RUN_ONCE = 'loss_fn="importance_sampling"'
CUSTOM = "forward_backward_custom(data, loss_fn)"


@pytest.mark.parametrize(
    ("config", "call"),
    [
        ("", RUN_ONCE),
        ('loss_type="grpo", importance_sampling_level="sequence", delta=1.5', RUN_ONCE),
        ("off_policy_mask_threshold=0.5", RUN_ONCE),
        ("num_iterations=2", 'loss_fn="ppo"'),
        ("steps_per_generation=2", 'loss_fn="ppo"'),
        ('loss_type="cispo"', 'loss_fn="cispo"'),
        ("beta=0.1", CUSTOM),
        ('loss_type="sapo"', CUSTOM),
        ('loss_type="vespo"', CUSTOM),
        ("num_iterations=2, delta=1.5", CUSTOM),
        ("num_iterations=2, off_policy_mask_threshold=0.5", CUSTOM),
        ('num_iterations=2, importance_sampling_level="sequence"', CUSTOM),
    ],
)
def test_a_loss_of_the_server_is_taken_where_it_is_equal(config: str, call: str) -> None:
    assert call in converted(grpo(config))


@pytest.mark.parametrize("config", ["", "beta=0.0", "num_iterations=1", "delta=None"])
def test_without_divergence_there_is_no_reference(config: str) -> None:
    text = converted(grpo(config))
    assert "reference" not in text
    assert "policy_loss" not in text


@pytest.mark.parametrize(
    ("version", "divisor", "has_beta"),
    [
        ("0.14.0", 'loss_type="grpo"', True),
        ("0.15.2", 'loss_type="grpo"', True),
        ("0.16.1", 'loss_type="bnpo"', True),
        ("0.18.2", 'loss_type="bnpo"', True),
        ("0.19.1", 'loss_type="bnpo"', False),
        ("0.24.0", 'loss_type="dapo"', False),
        ("1.16.0", 'loss_type="dapo"', False),
    ],
)
def test_a_release_brings_its_own_loss(version: str, divisor: str, has_beta: bool) -> None:
    text = converted(grpo(source_version=version))
    assert divisor in text
    assert ("beta=0.04" in text) == has_beta


@pytest.mark.parametrize(
    ("version", "defaults"),
    [
        ("0.15.2", {"temperature=0.9", "top_k=50", "max_completion_length=256"}),
        ("0.16.1", {"temperature=0.9", "top_k=50", "max_completion_length=256"}),
        ("0.24.0", {"temperature=1.0", "max_completion_length=256", "max_prompt_length=512"}),
        ("1.16.0", {"temperature=1.0", "max_completion_length=512"}),
    ],
)
def test_defaults_that_changed_are_written_out(version: str, defaults: set[str]) -> None:
    text = converted(grpo(source_version=version))
    assert {field for field in defaults if f"    {field},\n" in text} == defaults
    assert ("top_k" in text) == ("top_k=50" in defaults)
    assert ("max_prompt_length" in text) == (version != "1.16.0")


@pytest.mark.parametrize(
    ("version", "temperature", "fidelity"),
    [
        ("0.15.2", 0.9, Fidelity.EXACT),
        ("0.16.1", 0.9, Fidelity.APPROXIMATE),
        ("1.16.0", 0.7, Fidelity.APPROXIMATE),
        ("1.16.0", 1.0, Fidelity.EXACT),
    ],
)
def test_another_temperature_is_told_where_the_release_trained_at_it(
    version: str, temperature: float, fidelity: Fidelity
) -> None:
    result = grpo(f"temperature={temperature}", source_version=version)
    assert decision(result, "trl.GRPOConfig.temperature").fidelity is fidelity
    assert ("compute_logprobs(sampling_client" in converted(result)) == (temperature != 1.0)


@pytest.mark.parametrize(
    ("config", "size", "updates"),
    [
        ("", None, None),
        ("gradient_accumulation_steps=4, steps_per_generation=4", None, None),
        ("generation_batch_size=8", None, None),
        ("generation_batch_size=32", "round_size=32", "(config.round_size // config.batch_size)"),
        (
            "gradient_accumulation_steps=2, steps_per_generation=4, num_iterations=3",
            "round_size=8 * 4",
            "config.num_iterations * (config.round_size // config.batch_size)",
        ),
        ("num_iterations=3", None, "config.num_iterations"),
    ],
)
def test_rounds_are_as_large_as_the_original_s(
    config: str, size: str | None, updates: str | None
) -> None:
    text = converted(grpo(config))
    assert (size in text) if size else ("round_size" not in text)
    assert (f"updates_per_round = {updates}\n" in text) if updates else ("updates" not in text)


@pytest.mark.parametrize(
    "config",
    [
        "gradient_accumulation_steps=4, steps_per_generation=6",
        "gradient_accumulation_steps=4, steps_per_generation=1",
        "per_device_train_batch_size=6",
        "generation_batch_size=8, steps_per_generation=1",
    ],
)
def test_rounds_that_do_not_fit_are_refused(config: str) -> None:
    result = grpo(config)
    assert result.text is None
    assert "MM292" in {item.code for item in result.decisions}


def test_completions_are_counted_over_processes() -> None:
    text = converted(grpo(num_processes=3))
    assert "batch_size=8 * 3," in text


def test_the_first_release_counted_prompts() -> None:
    assert "batch_size=8 * 8 * 4," in converted(grpo(source_version="0.14.0"))


@pytest.mark.parametrize(
    "config",
    [
        "top_entropy_quantile=0.2",
        "entropy_coef=0.01",
        "use_adaptive_entropy=True",
        "sync_ref_model=True, beta=0.1",
        "sync_ref_model=True, beta=0.1, ref_model_mixup_alpha=share",
        'generation_kwargs={"bad_words": ["x"]}',
        "max_completion_length=None",
        'loss_type="mine"',
    ],
)
def test_what_makes_it_another_training_is_refused(config: str) -> None:
    result = grpo(config)
    assert result.text is None
    assert all(item.fidelity is Fidelity.MANUAL for item in result.decisions)


@pytest.mark.parametrize(
    "config",
    [
        "top_entropy_quantile=1.0",
        "entropy_coef=0.0",
        "sync_ref_model=False",
        "generation_kwargs=None",
        "repetition_penalty=1.0",
        "min_p=None",
        "mask_truncated_completions=False",
        "scale_rewards=True",
        "off_policy_mask_threshold=None",
        "chat_template_kwargs={}",
        "top_p=1.0",
        "top_k=0",
        "epsilon=0.3",
        "sapo_temperature_pos=2.0",
        "vllm_importance_sampling_correction=False, use_vllm=False",
    ],
)
def test_options_without_effect_leave_no_code(config: str) -> None:
    plain, given = converted(grpo()), converted(grpo(config))
    assert given.split('"""', 2)[2] == plain.split('"""', 2)[2]


@pytest.mark.parametrize("config", ["repetition_penalty=1.2", "min_p=0.1"])
def test_what_the_sampler_cannot_do_is_for_a_person(config: str) -> None:
    result = grpo(config)
    name = config.split("=")[0]
    assert decision(result, f"trl.GRPOConfig.{name}").fidelity is Fidelity.MANUAL
    assert "TODO[mint-migrate MM247]" in converted(result)


@pytest.mark.parametrize(
    ("rewards", "written"),
    [
        ("[brevity]", "reward_funcs=[brevity],"),
        ("brevity", "reward_funcs=[brevity],"),
        ("[brevity, brevity]", "reward_funcs=[brevity, brevity],"),
        ("make_rewards()", "isinstance(reward_funcs, list) else [reward_funcs]"),
        ("REWARDS['all']", "isinstance(reward_funcs, list) else [reward_funcs]"),
        ('["acme/judge", brevity]', 'reward_funcs=[model_reward("acme/judge"), brevity],'),
    ],
)
def test_reward_functions_are_handed_on_as_they_are(rewards: str, written: str) -> None:
    result = grpo(rewards=rewards)
    assert written in converted(result)
    assert decision(result, "trl.GRPOTrainer.reward_funcs").fidelity is Fidelity.EXACT


def test_a_partial_goes_by_the_name_of_what_it_wraps() -> None:
    unwrapped = 'reward_func = getattr(reward_func, "func", reward_func)'
    assert unwrapped in converted(grpo(rewards="[partial(brevity, limit=3)]"))
    assert unwrapped not in converted(grpo())


@pytest.mark.parametrize("part", ["isnan", "asyncio", "trainer_state", "log_metric"])
def test_simple_rewards_need_no_special_cases(part: str) -> None:
    assert part not in converted(grpo())
    hidden = converted(grpo(rewards="[brevity, elsewhere]"))
    assert (part in hidden) == (part != "log_metric")


@pytest.mark.parametrize(
    ("version", "passed"),
    [
        ("0.17.0", {"prompts", "completions"}),
        ("0.19.1", {"prompts", "completions", "completion_ids"}),
        ("0.24.0", {"prompts", "completions", "completion_ids", "trainer_state"}),
    ],
)
def test_reward_functions_get_what_the_release_gave(version: str, passed: set[str]) -> None:
    text = converted(grpo(rewards="[brevity, elsewhere]", source_version=version))
    names = ("prompts", "completions", "completion_ids", "trainer_state")
    assert {name for name in names if f'        "{name}": ' in text} == passed


@pytest.mark.parametrize(
    ("scale", "line"),
    [
        ('"group"', "groups.std(1, keepdim=True) + 1e-4"),
        ("True", "groups.std(1, keepdim=True) + 1e-4"),
        ('"batch"', "groups.std() + 1e-4"),
        ("False", "return advantages.flatten()"),
        ('"none"', "return advantages.flatten()"),
    ],
)
def test_advantages_are_scaled_as_asked(scale: str, line: str) -> None:
    assert line in converted(grpo(f"scale_rewards={scale}"))


@pytest.mark.parametrize(
    ("trainer", "code"),
    [
        ("rollout_func=mine", "MM203"),
        ("environment_factory={'a': Game}", "MM203"),
        ("environment_factory=Game, tools=[brevity]", "MM203"),
        ("reward_processing_classes=[tokenizer]", "MM250"),
    ],
)
def test_samples_and_rewards_from_elsewhere_are_refused_or_for_a_person(
    trainer: str, code: str
) -> None:
    result = grpo(trainer=f"{trainer},")
    assert code in {item.code for item in result.decisions}


@pytest.mark.parametrize("trainer", ["tools=[]", "tools=None", "rollout_func=None"])
def test_nothing_to_call_leaves_no_code(trainer: str) -> None:
    result = grpo(trainer=f"{trainer},")
    assert "tool" not in converted(result)


def test_a_subclass_with_methods_of_its_own_is_for_a_person() -> None:
    result = migrated(
        """
        from trl import GRPOConfig, GRPOTrainer

        class Mine(GRPOTrainer):
            def _compute_loss(self, model, inputs):
                return super()._compute_loss(model, inputs) * 2

        trainer = Mine(model="Qwen/Qwen3-0.6B", reward_funcs=[len], args=GRPOConfig("out"))
        trainer.train()
        """
    )
    assert result.text is None


@pytest.mark.parametrize(
    "option", ["dataloader_drop_last=True", "train_sampling_strategy='sequential'"]
)
def test_options_of_other_loaders_change_nothing_where_prompts_have_a_sampler_of_their_own(option):
    result = grpo(option)
    name = option.split("=", 1)[0]
    assert decision(result, f"trl.GRPOConfig.{name}").fidelity is Fidelity.EXACT
    assert converted(result) == converted(grpo())


@pytest.mark.parametrize(
    ("sizes", "version", "batch_size"),
    [
        ("per_device_train_batch_size=1", "0.22.2", "6,  # num_generations"),
        ("per_device_train_batch_size=3, gradient_accumulation_steps=2", "0.22.2", "3 * 2,"),
        ("per_device_train_batch_size=4, gradient_accumulation_steps=2", "0.22.2", "6 * 2,"),
        ("per_device_train_batch_size=3, gradient_accumulation_steps=2", "0.17.0", "6 * 2,"),
        ("per_device_train_batch_size=12", "0.17.0", "12,"),
    ],
)
def test_unsloth_fills_groups_with_the_batch_size(sizes, version, batch_size):
    config = f"num_generations=6, {sizes}"
    text = GRPO.format(config=config, rewards="brevity", lora=LORA, trainer="", after="")
    result = migrated(f"import unsloth\n{text}", source_version=version)
    assert f"batch_size={batch_size}" in converted(result)
    is_raised = "num_generations" in converted(result).split("batch_size=")[1].split("\n")[0]
    assert any("unsloth takes 6" in notice for notice in result.notices) is is_raised

"""What a launch of OpenRLHF becomes follows its release, also where no option says so."""

from __future__ import annotations

import functools
import re

import pytest
from mint_migrate.fronts.launchers import migrate_launcher
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.plan import Decision, Fidelity
from mint_migrate.model.source import Options, Source
from support.scripts import tables
from support.verl_math import loaded

RL = (
    "--pretrain Qwen/Qwen3-0.6B --prompt_data prompts.jsonl --remote_rm_url reward.py "
    "--n_samples_per_prompt 4 --init_kl_coef 0"
)
SFT = "--pretrain Qwen/Qwen3-0.6B --dataset rows.jsonl --output_key answer"
DPO = "--pretrain Qwen/Qwen3-0.6B --dataset pairs.jsonl"
DOTTED = "--model.model_name_or_path Qwen/Qwen3-0.6B --data.dataset rows.jsonl"


@functools.cache
def launched(program: str, release: str, flags: str) -> Migrated:
    command = f"python3 -m openrlhf.cli.{program} {flags}\n"
    source = Source(path="run.sh", content=command.encode(), text=command, newline="\n")
    options = Options(launched_version=("openrlhf", release, "said by the test"))
    result = migrate_launcher(source, options, tables(), lambda path: None)
    assert isinstance(result, Migrated), result
    return result


def text_of(program: str, release: str, flags: str) -> str:
    result = launched(program, release, flags)
    assert result.text is not None, result.notices
    return result.text


def decision(program: str, release: str, flags: str, option: str) -> Decision:
    result = launched(program, release, flags)
    return next(
        item for item in result.decisions if item.found.source_text.split()[0] == f"--{option}"
    )


def rl(release: str, flags: str) -> str:
    return text_of("train_ppo_ray", release, f"{RL} {flags}")


@pytest.mark.parametrize(
    ("estimator", "release", "is_whitened"),
    [
        ("group_norm", "0.6.2", True),
        ("group_norm", "0.6.3", False),
        ("rloo", "0.8.4", True),
        ("rloo", "0.8.5", False),
        ("reinforce_baseline", "0.8.5", True),
        ("dr_grpo", "0.6.4", False),
    ],
)
def test_the_release_says_which_estimators_are_whitened(estimator, release, is_whitened):
    text = rl(release, f"--advantage_estimator {estimator}")
    assert ("def whiten(" in text) is is_whitened


@pytest.mark.parametrize(
    ("release", "flags", "is_weighed"),
    [
        ("0.6.4", "", False),
        ("0.6.4", "--packing_samples", True),
        ("0.7.0", "", True),
        ("0.10.0", "", True),
    ],
)
def test_the_size_of_a_micro_batch_counts_where_the_loss_is_averaged_over_it(
    release, flags, is_weighed
):
    given = f"--advantage_estimator group_norm --micro_train_batch_size 2 {flags}"
    assert ("config.micro_train_batch_size" in rl(release, given)) is is_weighed


def test_a_mean_over_the_micro_batches_of_all_processes_is_not_called_exact():
    flags = (
        "--actor.model_name_or_path Qwen/Qwen3-0.6B --data.prompt_dataset prompts.jsonl "
        "--reward.remote_url reward.py --rollout.n_samples_per_prompt 4 "
        "--algo.advantage.estimator rloo --train.micro_batch_size 2"
    )
    found = decision("train_ppo_ray", "0.10.3", flags, "train.micro_batch_size")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM417")
    found = decision("train_ppo_ray", "0.10.4", flags, "train.micro_batch_size")
    assert found.fidelity is Fidelity.EXACT
    flags = f"{DOTTED} --data.output_key answer --train.micro_batch_size 2"
    found = decision("train_sft", "0.10.3", flags, "train.micro_batch_size")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM417")
    found = decision("train_sft", "0.10.4", flags, "train.micro_batch_size")
    assert found.fidelity is Fidelity.EXACT


@pytest.mark.parametrize(("release", "windows"), [("0.11.1", False), ("0.11.2", True)])
def test_the_schedule_of_sft_counts_windows_since_they_go_on_across_passes(release, windows):
    text = text_of("train_sft", release, f"{DOTTED} --data.output_key answer")
    assert ("* config.max_epochs // config.train_batch_size" in text) is windows


@pytest.mark.parametrize(("release", "skips"), [("0.5.9", 0), ("0.6.4", 1), ("0.7.0", 0)])
def test_the_first_token_of_a_response_is_trained_on_as_in_the_release(release, skips):
    space = loaded(text_of("train_sft", release, SFT))

    class Words:
        eos_token, eos_token_id = "<end>", 9

        def __call__(self, text: str, **options: object) -> dict[str, list[int]]:
            return {"input_ids": list(range(len(text.split())))}

    row = {"input": "two plus two", "answer": "is four <end>"}
    config = space["Config"](input_template="{} ")
    tokens, weights = space["tokenize"](row, Words(), config)
    assert len(tokens) == 6
    assert weights == [0.0] * (3 + skips) + [1.0] * (3 - skips)


def test_turns_that_a_release_does_not_tell_apart_are_said_to_be():
    flags = f"{SFT} --multiturn --apply_chat_template"
    found = decision("train_sft", "0.6.4", flags, "multiturn")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM423")
    assert "only where samples are packed" in found.note
    found = decision("train_sft", "0.6.4", f"{flags} --packing_samples", "multiturn")
    assert "as many tokens of the next row" in found.note
    found = decision("train_sft", "0.7.0", flags, "multiturn")
    assert "the token behind it" in found.note


@pytest.mark.parametrize(
    ("release", "flags", "is_exact"),
    [
        ("0.6.4", "", True),
        ("0.6.4", "--packing_samples", False),
        ("0.7.0", "", False),
        ("0.11.0", "", False),
        ("0.11.2", "", True),
    ],
)
def test_texts_that_a_release_trains_past_their_end_are_said_to_be(release, flags, is_exact):
    is_dotted = release.startswith("0.11")
    given = DOTTED if is_dotted else "--pretrain Qwen/Qwen3-0.6B --dataset rows.jsonl"
    option = "model.pretrain_mode_enable" if is_dotted else "pretrain_mode"
    found = decision("train_sft", release, f"{given} --{option} {flags}", option)
    assert (found.fidelity is Fidelity.EXACT) is is_exact
    assert found.code == (None if is_exact else "MM423")


@pytest.mark.parametrize(("release", "is_left"), [("0.6.4", True), ("0.7.0", False)])
def test_an_evaluation_that_a_release_always_does_is_said_to_be_left_out(release, is_left):
    result = launched("train_sft", release, SFT)
    assert ("MM423: held-out losses are left out" in " ".join(result.notices)) is is_left
    found = decision("train_sft", release, f"{SFT} --eval_steps 5", "eval_steps")
    assert (found.fidelity is Fidelity.APPROXIMATE) is is_left


@pytest.mark.parametrize(
    ("program", "release", "strategy"),
    [
        ("train_sft", "0.6.4", "first"),
        ("train_sft", "0.7.0", "all"),
        ("train_dpo", "0.6.4", "all"),
    ],
)
def test_drawing_from_several_data_sets_ends_as_in_the_release(program, release, strategy):
    flags = "--pretrain Qwen/Qwen3-0.6B --dataset a.jsonl,b.jsonl --dataset_probs 0.5,0.5"
    assert f'stopping_strategy="{strategy}_exhausted"' in text_of(program, release, flags)


def test_a_default_is_found_under_the_name_that_the_release_gives_the_option():
    text = text_of("train_sft", "0.11.2", f"{DOTTED} --data.output_key answer")
    assert 'input_template: str = "User: {}\\nAssistant: "' in text
    assert "max_epochs: int = 2" in text
    assert "max_len: int = 512" in text_of("train_dpo", "0.11.2", DOTTED)


def test_the_schedule_of_dpo_counts_whole_passes():
    assert "math.ceil(config.max_epochs" in text_of("train_dpo", "0.11.2", DOTTED)


def test_a_divergence_without_a_gradient_is_left_out_and_said_so():
    flags = f"{RL} --advantage_estimator group_norm --init_kl_coef 0.1 --use_kl_loss"
    assert "compute_logprobs" in text_of("train_ppo_ray", "0.6.4", flags)
    packed = f"{flags} --packing_samples"
    assert "compute_logprobs" not in text_of("train_ppo_ray", "0.6.4", packed)
    assert "compute_logprobs" in text_of("train_ppo_ray", "0.7.0", packed)
    found = decision("train_ppo_ray", "0.6.4", packed, "use_kl_loss")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM423")


def test_a_rollout_that_counts_responses_has_fewer_prompts():
    flags = "--advantage_estimator rloo --rollout_batch_size 64"
    assert "rollout_batch_size: int = 64 // 4" in rl("0.4.4", flags)
    assert "rollout_batch_size: int = 64\n" in re.sub(" +#.*", "", rl("0.4.5", flags))


@pytest.mark.parametrize(("release", "beta2"), [("0.3.8", "0.95"), ("0.5.9", "0.99")])
def test_betas_count_where_they_are_read(release, beta2):
    text = rl(release, "--advantage_estimator rloo --adam_betas 0.9 0.99")
    assert f"beta2={beta2}" in text


@pytest.mark.parametrize(
    ("program", "flags", "release", "option", "code"),
    [
        ("train_sft", SFT, "0.9.1", "aux_loss_coef 0.01", "MM415"),
        ("train_sft", SFT, "0.9.1", "load_checkpoint", "MM234"),
        (
            "train_ppo_ray",
            f"{RL} --advantage_estimator rloo",
            "0.9.1",
            "use_dynamic_batch",
            "MM235",
        ),
        ("train_dpo", DPO, "0.9.1", "load_checkpoint", "MM234"),
        ("train_dpo", DPO, "0.9.1", "enable_bos 3", "MM406"),
    ],
)
def test_an_option_that_is_not_followed_is_not_called_exact(program, flags, release, option, code):
    found = decision(program, release, f"{flags} --{option}", option.split()[0])
    assert found.fidelity is not Fidelity.EXACT
    assert found.code == code


def test_the_lowest_rate_of_every_program_is_followed():
    assert "min_lr_ratio: float = 0.3" in text_of("train_dpo", "0.9.1", f"{DPO} --min_lr_ratio 0.3")


def test_muon_is_refused_by_every_program():
    result = launched("train_sft", "0.11.2", f"{DOTTED} --data.output_key answer --optim muon")
    assert result.text is None
    assert any(notice.startswith("MM416: ") for notice in result.notices)


def test_what_only_a_critic_reads_has_no_effect_without_one():
    flags = f"{RL} --advantage_estimator rloo --critic_pretrain Qwen/Qwen3-0.6B"
    assert decision("train_ppo_ray", "0.9.1", flags, "critic_pretrain").fidelity is Fidelity.EXACT

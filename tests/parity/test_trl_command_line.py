"""A `trl` command and the script it stands for configure the trainer alike."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import Any

import pytest
from mint_migrate.fronts.draft import Request, write_draft
from mint_migrate.launches.commands import find_launches
from mint_migrate.launches.given import read_yaml
from mint_migrate.launches.methods import METHODS
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import read_shell
from support.scripts import tables

pytestmark = [
    pytest.mark.parity,
    # Old names that users still write.
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),
]

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "before" / "launchers"
NOT_THE_OPTIONS = ("logging_dir", "model_init_kwargs")
"""Fields that hold the time of day, or what the command makes of the model's own options."""
COMMON = "--model_name_or_path m --dataset_name d --output_dir o --use_cpu --bf16 no"
COMMANDS = [
    f"sft {COMMON} --learning_rate 2e-4 --max_length 64 --packing --no_gradient_checkpointing "
    "--lr_scheduler_type cosine --warmup_steps 0.1 --eval_strategy steps --eval_steps 0.25 "
    "--lr_scheduler_kwargs '{\"num_cycles\": 0.5}' --save_strategy=no --run_name 7 --use_peft "
    "--lora_alpha 8 --lora_target_modules q_proj v_proj --lora_task_type CAUSAL_LM --use_rslora",
    f"sft {COMMON} --seed 7 --optim adamw_torch --weight-decay 0.1 --use_peft "
    "--lora_target_modules all-linear --lora_modules_to_save lm_head "
    "--assistant_only_loss False --completion_only_loss true",
    f"dpo {COMMON} --beta 0.05 --loss_type sigmoid bco_pair --loss_weights 0.5 1 "
    "--label_smoothing 0.1 --precompute_ref_log_probs --use_peft --lora_r 4 --lora_dropout 0.1",
    f"grpo {COMMON} --num_generations 4 --beta 0.04 --epsilon_high 0.28 --loss_type dr_grpo "
    "--scale_rewards none --reward_weights 0.25 0.75 --temperature 0.9 --use_peft "
    "--reward_funcs accuracy_reward think_format_reward --max_completion_length 32",
    f"kto {COMMON} --desirable_weight 1.5",
    f"rloo {COMMON} --num_generations 4 --reward_model_name_or_path r --normalize_advantages true",
]


def given_in(text: str) -> tuple[str, dict[str, Any]]:
    """Return the method of a command and its options, those of its configuration file included."""
    (launch,) = find_launches(read_shell(text), Places(text))
    assert launch.method is not None
    options = {flag.name: flag for flag in launch.flags}
    config = options.pop("config", None)
    if config is not None:
        keys = read_yaml((FOLDER / (config.text or "")).read_text(encoding="utf-8"))
        options = {key.name: key for key in keys} | options
    return launch.method, options


def calls_of(text: str) -> dict[str, ast.Call]:
    """Return the calls of a script by the name of what is called."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {ast.unparse(node.func): node for node in nodes}


def parsed(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """Return what TRL's own parser makes of a command: script, training and model options."""
    import importlib

    monkeypatch.chdir(FOLDER)
    module = importlib.import_module(f"trl.scripts.{arguments[0]}")
    found = module.make_parser().parse_args_and_config(arguments[1:])
    return found[0], found[1], found[2]


def compare(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import peft
    import trl

    method, options = given_in(text)
    trainer = METHODS[method]
    draft = write_draft(Request(method=method, options=options, tables=tables()))[1]
    calls = calls_of(draft)
    script, training, model = parsed(shlex.split(text)[1:], monkeypatch)

    def evaluate(name: str) -> Any:
        expression = ast.Expression(calls[name])
        return eval(compile(expression, "draft", "eval"), vars(trl) | vars(peft))

    ours = evaluate(f"{trainer}Config").to_dict()
    theirs = training.to_dict()
    differ = {
        name: (ours[name], theirs[name])
        for name in theirs
        if ours[name] != theirs[name] and name not in NOT_THE_OPTIONS
    }
    assert differ == {}
    adapter = trl.get_peft_config(model)
    assert ("LoraConfig" in calls) == (adapter is not None)
    if adapter is not None:
        assert evaluate("LoraConfig").to_dict() == adapter.to_dict()
    assert f"model='{model.model_name_or_path}'" in ast.unparse(calls[f"{trainer}Trainer"])
    for name in getattr(script, "reward_funcs", None) or []:
        assert name in ast.unparse(calls[f"{trainer}Trainer"])


@pytest.mark.parametrize("text", COMMANDS, ids=lambda text: text.split()[0])
def test_options_of_a_command_have_the_values_trl_gives_them(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(f"trl {text}", monkeypatch)


def test_command_line_counts_before_its_configuration_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare(
        "trl sft --config sft_stories.yaml --learning_rate 1e-4 --use_cpu --bf16 false", monkeypatch
    )

"""Configurations from a parser of options, or from `**` of a dictionary."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mint_migrate.model.plan import Fidelity
from support.scripts import converted, migrated

PARSED = """
from datasets import load_dataset
from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer, TrlParser, get_peft_config
{before}

parser = TrlParser((ScriptArguments, {config}, ModelConfig))
script_args, training_args, model_args = parser.parse_args_and_config()
{between}
trainer = SFTTrainer(
    model=model_args.model_name_or_path,
    args=training_args,
    train_dataset=load_dataset(script_args.dataset_name, split="train"),
    peft_config=get_peft_config(model_args),
)
trainer.train()
{after}
"""
SPLATTED = """
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

options = load_options()
config = SFTConfig({given}**options["training"])
dataset = load_dataset("acme/d", split="train")
trainer = SFTTrainer(model="acme/m", args=config, train_dataset=dataset)
trainer.train()
"""
"""`load_options` is nobody's: what it returns cannot be seen."""


def parsed(
    before: str = "", between: str = "", after: str = "", config: str = "SFTConfig", **options
):
    """Migrate a script whose options come from TRL's parser."""
    text = PARSED.format(before=before, between=between, after=after, config=config)
    return migrated(text, **options)


def splatted(given: str = "", **options):
    """Migrate a script whose options come from a dictionary."""
    return migrated("def load_options(): ..." + SPLATTED.format(given=given), **options)


def run(result) -> ModuleType:
    """Execute the classes and the parser of a conversion, and nothing else of it."""
    module = ModuleType("options_of_a_script")
    sys.modules[module.__name__] = module
    tree = ast.parse(converted(result))
    kept = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and "mint" not in ast.unparse(node):
            kept.append(node)
        elif isinstance(node, ast.ClassDef | ast.Assign):
            kept += [node] if not isinstance(node, ast.Assign) or _is_table(node) else []
        elif isinstance(node, ast.FunctionDef) and node.name in {
            *("check_option", "settle_options", "config_from")
        }:
            kept.append(node)
    exec(compile(ast.Module(kept, []), "options", "exec"), vars(module))
    return module


def _is_table(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper()


def parse(result, *arguments: str):
    """Return what the emitted parser makes of a command line."""
    module = run(result)
    parser = module.OptionParser((module.ScriptOptions, module.TrainingConfig, module.ModelOptions))
    return parser.parse_args_and_config(list(arguments))


def called(result, name: str):
    """Return the decision about the call of *name*."""
    (found,) = [
        item for item in result.decisions if (item.found.name, item.found.kind) == (name, "call")
    ]
    return found


def test_options_that_the_loop_reads_are_parsed_under_their_own_name() -> None:
    script, config, model = parse(
        parsed(),
        *("--learning_rate", "1e-3", "--per_device_train_batch_size", "4", "--use_peft"),
        *("--gradient-accumulation-steps", "2", "--dataset_name", "d", "--lora_r", "4"),
    )
    assert (config.learning_rate, config.batch_size) == (1e-3, 8)
    assert (script.dataset_name, model.lora_r, model.use_peft) == ("d", 4, True)


def test_defaults_are_those_of_the_script_s_release() -> None:
    required = ("--output_dir", "out", "--dataset_name", "acme/d")
    _, old, _ = parse(parsed(source_version="0.15.2"), *required)
    _, new, _ = parse(parsed(source_version="1.16.0"))
    assert (old.logging_steps, new.logging_steps) == (500, 10)


@pytest.mark.parametrize(
    "given",
    [
        ["--bf16"],
        ["--gradient_checkpointing", "True"],
        ["--no_gradient_checkpointing"],
        ["--gradient-checkpointing", "true"],
        ["--deepspeed", "zero3.json"],
        ["--lora_target_modules", "q_proj", "v_proj"],
    ],
)
def test_options_without_effect_are_taken_and_named(given, capsys) -> None:
    parse(parsed(), *given)
    name = given[0].lstrip("-").replace("-", "_").removeprefix("no_")
    assert f"without effect on MinT: {name}=" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given", [["--packing"], ["--packing", "True"], ["--loss_type", "dft"], ["--optim", "sgd"]]
)
def test_values_that_the_loop_was_not_written_for_are_refused(given, capsys) -> None:
    with pytest.raises(SystemExit):
        parse(parsed(), *given)
    assert "this loop knows" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [["--packing", "False"], ["--no_packing"], ["--loss_type", "nll"]]
)
def test_values_that_the_loop_was_written_for_are_taken_in_silence(given, capsys) -> None:
    parse(parsed(), *given)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["lr_scheduler_type", "eval_strategy", "save_strategy"])
def test_choices_of_the_loop_refuse_what_it_does_not_know(name) -> None:
    with pytest.raises(ValueError, match=f"{name}=never: this loop knows"):
        parse(parsed(), f"--{name}", "never")


def test_an_option_that_nothing_defines_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown options: --step_size 1"):
        parse(parsed(), "--step_size", "1")


def test_a_file_gives_defaults_and_the_command_line_wins(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OPTION_OF_THE_FILE", "")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "learning_rate: 1e-3\nmax_steps: 7\nbf16: true\nenv: {OPTION_OF_THE_FILE: 3}\n",
        encoding="utf-8",
    )
    _, config, _ = parse(parsed(), "--config", str(path), "--max_steps", "5")
    assert (config.learning_rate, config.max_steps) == (1e-3, 5)
    import os

    assert os.environ["OPTION_OF_THE_FILE"] == "3"


def test_a_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("learning_rat: 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="learning_rat"):
        parse(parsed(), "--config", str(path))


def test_unset_options_take_the_value_they_mean() -> None:
    _, config, _ = parse(parsed(), "--logging_steps", "3", "--seed", "5")
    assert (config.eval_steps, config.data_seed) == (3, 5)
    _, config, _ = parse(parsed(), "--eval_steps", "9", "--data_seed", "6")
    assert (config.eval_steps, config.data_seed) == (9, 6)


def test_the_parser_is_approximate_and_says_what_is_refused() -> None:
    found = called(parsed(), "trl.TrlParser")
    assert (found.fidelity, found.code) == (Fidelity.APPROXIMATE, "MM260")
    assert "`packing`" in found.note


def test_an_option_set_after_parsing_stays_where_the_loop_reads_it() -> None:
    result = parsed(between="training_args.learning_rate *= 2\ntraining_args.max_length = 64")
    assert "training_args.max_length = 64" in converted(result)


def test_an_option_without_effect_that_is_set_after_parsing_goes() -> None:
    result = parsed(
        between="training_args.gradient_checkpointing_kwargs = dict(use_reentrant=False)"
    )
    assert "use_reentrant" not in converted(result)
    assert any("gradient_checkpointing_kwargs" in item for item in result.notices)


def test_an_option_that_shapes_the_loop_may_not_be_set_after_parsing() -> None:
    result = parsed(between="training_args.packing = True")
    assert result.text is None
    assert "decides what the loop looks like" in result.notices[0]


def test_own_classes_derive_from_the_one_that_is_read() -> None:
    fields = "    cache: str = 'c'\n    learning_rate: float = 3e-4\n"
    own = f"@dataclass\nclass Mine(SFTConfig):\n{fields}"
    result = parsed(before=f"from dataclasses import dataclass\n\n{own}", config="Mine")
    module = run(result)
    config = module.OptionParser((module.Mine,)).parse_args_and_config([])[0]
    assert (config.cache, config.learning_rate, config.max_steps) == ("c", 3e-4, -1)


def test_an_own_default_that_shapes_the_loop_is_refused() -> None:
    own = "@dataclass\nclass Mine(SFTConfig):\n    packing: bool = True\n"
    result = parsed(before=f"from dataclasses import dataclass\n\n{own}", config="Mine")
    assert result.text is None
    assert "`packing` is True in the script's own class" in result.notices[0]


def test_annotations_name_the_new_classes() -> None:
    result = parsed(
        after="def show(a: SFTConfig, b: ModelConfig = None) -> SFTConfig:\n    return a\n"
    )
    assert "def show(a: TrainingConfig, b: ModelOptions = None) -> TrainingConfig:" in converted(
        result
    )


def test_options_that_are_read_date_a_script() -> None:
    assert parsed(after="print(training_args.max_seq_length)").version.startswith("0.")


def test_a_choice_between_one_process_and_many_reads_one() -> None:
    _, config, _ = parse(parsed(after="print(training_args.world_size)"))
    assert config.world_size == 1


def test_what_the_trainer_knows_of_processes_is_that_of_one() -> None:
    state = "training_args.distributed_state"
    result = parsed(
        after=f"if {state}.is_main_process:\n    {state}.wait_for_everyone()\n"
        "with training_args.main_process_first(desc='rows'):\n    pass\n"
        "print(training_args.get_process_log_level())\n"
    )
    _, config, _ = parse(result)
    assert config.distributed_state.is_main_process
    assert config.distributed_state.wait_for_everyone() is None
    assert config.get_process_log_level() == 30
    with config.main_process_first(desc="rows"):
        pass


def test_two_trainers_may_not_share_a_parser() -> None:
    second = (
        "other = SFTTrainer(model='m', args=training_args, train_dataset=load_dataset('a/b'))\n"
        "other.train()\n"
    )
    result = parsed(after=second)
    assert any(item.startswith("MM238") for item in result.notices)


def test_two_trainers_may_not_both_have_options_known_later() -> None:
    second = (
        "(more,) = TrlParser(SFTConfig).parse_args_and_config()\n"
        "other = SFTTrainer(model='m', args=more, train_dataset=load_dataset('a/b'))\n"
        "other.train()\n"
    )
    result = parsed(after=second)
    assert any("another trainer of the file" in item for item in result.notices)


def test_names_that_the_result_defines_may_not_be_the_script_s() -> None:
    result = parsed(after="ONLY_AS = 1\n")
    assert result.text is None
    assert "`ONLY_AS` is a name of the result's" in result.notices[0]


def test_keywords_known_later_are_settled_when_the_script_runs(capsys) -> None:
    module = run(splatted())
    config = module.config_from(learning_rate=1e-3, bf16=True, packing=False, logging_steps=4)
    assert (config.learning_rate, config.eval_steps) == (1e-3, 4)
    assert capsys.readouterr().out == "without effect on MinT: bf16=True\n"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"packing": True}, ValueError, "packing=True"),
        ({"learning_rat": 1}, TypeError, "learning_rat"),
        ({"eval_strategy": "best"}, ValueError, "eval_strategy=best"),
    ],
)
def test_other_keywords_are_refused_when_the_script_runs(options, error, words) -> None:
    with pytest.raises(error, match=words):
        run(splatted()).config_from(**options)


def test_options_given_beside_the_dictionary_keep_their_text() -> None:
    text = converted(
        splatted("output_dir=name, bf16=True, lr_scheduler_type='cosine', ".replace("name", "'o'"))
    )
    assert "config_from(\n    output_dir='o',\n    **options[\"training\"],\n)" in text
    assert "half a cosine" in text


def test_an_option_given_beside_the_dictionary_may_not_come_from_it() -> None:
    module = run(splatted("lr_scheduler_type='cosine', "))
    with pytest.raises(TypeError, match="lr_scheduler_type"):
        module.config_from(lr_scheduler_type="linear")


def test_a_dictionary_beside_a_starred_list_is_left_alone() -> None:
    result = splatted("*options['more'], ")
    assert result.text is None
    assert "hides which options" in result.notices[0]


def test_a_parser_of_own_classes_only_stays() -> None:
    result = migrated(
        """
        from dataclasses import dataclass
        from datasets import load_dataset
        from transformers import HfArgumentParser
        from trl import SFTConfig, SFTTrainer

        @dataclass
        class Options:
            rate: float = 1e-4

        options = HfArgumentParser(Options).parse_args_into_dataclasses()[0]
        config = SFTConfig(output_dir="o", learning_rate=options.rate)
        trainer = SFTTrainer(model="m", args=config, train_dataset=load_dataset("a/b"))
        trainer.train()
        """
    )
    text = converted(result)
    assert "options = HfArgumentParser(Options).parse_args_into_dataclasses()[0]" in text
    assert "OptionParser" not in text
    assert called(result, "transformers.HfArgumentParser").fidelity is Fidelity.EXACT


@pytest.mark.parametrize(
    "made",
    [
        "training_args = make(1)",
        "training_args, _ = make(2)",
        "training_args = choose() or TrlParser(SFTConfig).parse_args_and_config()[0]",
    ],
)
def test_what_cannot_be_followed_to_a_parser_is_left_alone(made) -> None:
    result = migrated(
        f"""
        from datasets import load_dataset
        from trl import SFTConfig, SFTTrainer, TrlParser
        from elsewhere import choose, make

        {made}
        trainer = SFTTrainer(model="m", args=training_args, train_dataset=load_dataset("a/b"))
        trainer.train()
        """
    )
    assert result.text is None
    assert result.notices[0].startswith("MM292")

"""Shell scripts and configurations that start training: every flag and key is decided once."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mint_migrate import cli, outputs
from mint_migrate.batch import migrate_path
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.plan import Decision, Fidelity
from mint_migrate.model.source import Options
from support.flags import found_in_shell, num_keys

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
FOLDER = FIXTURES / "before" / "launchers"
CASES = tomllib.loads((FIXTURES / "launchers.toml").read_text(encoding="utf-8"))["launcher"]
TRAINING = [case for case in CASES if "flags" in case]
CONVERTED = [case for case in CASES if "writes" in case]


def name_of(case: dict[str, Any]) -> str:
    return Path(case["path"]).name


def migrate(path: Path, **options: Any) -> Migrated | Failed | Skipped:
    outcome, trace = migrate_path(path, Options(**options))
    assert not trace, trace
    return outcome


def migrated(path: Path, **options: Any) -> Migrated:
    outcome = migrate(path, **options)
    assert isinstance(outcome, Migrated), outcome
    return outcome


def command(tmp_path: Path, text: str, **options: Any) -> Migrated:
    """Migrate a shell script of one line."""
    path = tmp_path / "train.sh"
    path.write_text(text, encoding="utf-8")
    return migrated(path, **options)


SFT = (
    "trl sft --model_name_or_path Qwen/Qwen3-0.6B --dataset_name acme/chats --output_dir out "
    "--save_strategy no --report_to none --use_peft --lora_dropout 0 "
)


def by_flag(result: Migrated) -> dict[str, Decision]:
    """Return the decisions by what the user wrote, up to its value."""
    return {
        item.found.source_text.split()[0].split("=")[0].rstrip(":"): item
        for item in result.decisions
    }


def text_of(result: Migrated) -> str:
    assert result.text is not None, result.decisions
    return result.text


def config_of(result: Migrated) -> dict[str, str]:
    """Return the fields of the converted configuration, as text."""
    calls = [
        node
        for node in ast.walk(ast.parse(text_of(result)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "SimpleNamespace"
    ]
    return {item.arg or "": ast.unparse(item.value) for item in calls[0].keywords}


def test_every_fixture_has_a_case() -> None:
    launchers = {path.name for path in FOLDER.glob("*.sh")} | {"sft_stories.yaml"}
    assert {name_of(case) for case in CASES} == launchers


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_flags_of_a_case_are_what_an_independent_count_finds(case: dict[str, Any]) -> None:
    path = FIXTURES / case["path"]
    if path.suffix == ".sh":
        found = len(found_in_shell(path.read_text(encoding="utf-8")))
    else:
        found = num_keys(path, leaves=False)
    assert case.get("flags", 0) == found
    for name, count in case.get("keys", {}).items():
        assert num_keys(FOLDER / name, leaves=name != "sft_stories.yaml") == count


@pytest.mark.parametrize("case", TRAINING, ids=name_of)
def test_every_flag_and_key_has_one_decision(case: dict[str, Any]) -> None:
    path = FIXTURES / case["path"]
    result = migrated(path)
    own = [item.found for item in result.decisions if not item.found.path]
    others = [item.found.path for item in result.decisions if item.found.path]
    assert {name: others.count(name) for name in case["keys"]} == case["keys"]
    assert set(others) <= set(case["keys"])
    assert len(own) == case["flags"]
    if path.suffix == ".sh":
        theirs = found_in_shell(path.read_text(encoding="utf-8"))
        assert sorted((item.span.line, item.span.column) for item in own) == theirs


@pytest.mark.parametrize("case", TRAINING, ids=name_of)
def test_what_is_not_exact_says_why(case: dict[str, Any]) -> None:
    bare = [
        item.found.source_text
        for item in migrated(FIXTURES / case["path"]).decisions
        if item.fidelity is not Fidelity.EXACT and not (item.code and item.note)
    ]
    assert bare == []


@pytest.mark.parametrize("case", CONVERTED, ids=name_of)
def test_command_writes_the_scripts_of_a_case(case: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    before = {path.name for path in tmp_path.iterdir()}
    cli.run([str(tmp_path / name_of(case))])
    written = sorted({path.name for path in tmp_path.iterdir()} - before)
    assert written == sorted(case["writes"])
    for name in written:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert outputs.is_our_output(text, Path(name).suffix)
        assert not outputs.was_edited(text, Path(name).suffix)


@pytest.mark.parametrize(
    "name", ["sft_one_command.sh", "sft_accelerate.sh", "sft_with_config.sh", "sft_stories.yaml"]
)
def test_conversion_is_the_reviewed_one(name: str, after: Any) -> None:
    assert text_of(migrated(FOLDER / name)) == after(name=f"launchers/{Path(name).stem}")


@pytest.mark.parametrize("case", CONVERTED, ids=name_of)
def test_shell_lines_that_start_no_training_keep_their_bytes(case: dict[str, Any]) -> None:
    path = FIXTURES / case["path"]
    result = migrated(path)
    shells = [item.text for item in result.companions if item.ending.endswith(".sh")]
    shells += [text_of(result)] if result.suffix == ".sh" else []
    before = path.read_text(encoding="utf-8")
    touched = {item.found.span.line for item in result.decisions if not item.found.path}
    last = max(touched)
    for shell in shells:
        first = before.split("\n")[: min(touched) - 1]
        assert [line for line in first if line not in shell.split("\n")] == []
        assert shell.endswith("\n".join(before.split("\n")[last:]))


@pytest.mark.parametrize("case", CONVERTED, ids=name_of)
def test_converted_shell_scripts_are_accepted_by_a_shell(case: dict[str, Any]) -> None:
    result = migrated(FIXTURES / case["path"])
    shells = [item.text for item in result.companions if item.ending.endswith(".sh")]
    shells += [text_of(result)] if result.suffix == ".sh" else []
    for shell in shells:
        checked = subprocess.run(
            ["bash", "-n"], input=shell, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_what_only_the_shell_knows_reaches_the_script(tmp_path: Path) -> None:
    """The converted launcher is run with a `python` that prints what it was given."""
    text = "for lr in $2; do\n  trl sft --learning_rate $lr"
    text += f'{SFT.removeprefix("trl sft")} --output_dir "$1-$(printf now)"\ndone\n'
    result = command(tmp_path, text)
    shell = tmp_path / "train_mint.sh"
    shell.write_text(result.companions[0].text, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "python"
    program.write_text('#!/bin/sh\necho "$lr|$ARGUMENT_1|$VALUE_1|$1"\n', encoding="utf-8")
    program.chmod(0o755)
    ran = subprocess.run(
        ["bash", str(shell), "first", "1e-4"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
    )
    assert ran.stdout.strip() == f"1e-4|first|now|{tmp_path}/train_mint.py", ran.stderr
    config = config_of(result)
    assert config["learning_rate"] == "float(os.environ['lr'])"
    assert config["output_dir"] == "os.environ['ARGUMENT_1'] + '-' + os.environ['VALUE_1']"


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("--learning_rate 2.0e-5", "learning_rate", "2e-05"),
        ("--learning-rate=3e-5", "learning_rate", "3e-05"),
        ("--max_length 512", "max_length", "512"),
        ("--output_dir 2026", "output_dir", "'2026'"),
        ("LR=${LR:-4e-5}; ", "learning_rate", "float(os.environ.get('LR', '4e-5'))"),
    ],
)
def test_a_flag_has_the_type_of_its_option(
    flags: str, field: str, value: str, tmp_path: Path
) -> None:
    text = f"{flags}\n{SFT} --learning_rate $LR\n" if flags.startswith("LR") else SFT + flags
    assert config_of(command(tmp_path, text))[field] == value


def test_the_teacher_of_a_command_is_the_one_that_training_is_given(tmp_path: Path) -> None:
    result = command(
        tmp_path,
        "trl distillation --model_name_or_path Qwen/Qwen3-0.6B --dataset_name trl-lib/tldr "
        "--teacher_model_name_or_path Qwen/Qwen3-1.7B --output_dir out",
    )
    assert 'teacher_model="Qwen/Qwen3-1.7B",' in text_of(result)
    assert by_flag(result)["--teacher_model_name_or_path"].fidelity is Fidelity.EXACT


def test_a_later_value_counts_and_the_command_line_before_its_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("learning_rate: 1e-3\nmax_length: 99\n", encoding="utf-8")
    result = command(tmp_path, SFT + "--learning_rate 1e-5 --config c.yaml --learning_rate 2e-5")
    config = config_of(result)
    assert (config["learning_rate"], config["max_length"]) == ("2e-05", "99")
    notes = [item.note for item in result.decisions if "another value" in item.note]
    assert len(notes) == 2


@pytest.mark.parametrize(
    ("start", "number"),
    [
        ("accelerate launch --num_processes 4 trl/scripts/sft.py", 4),
        ("torchrun --nproc-per-node 2 --nnodes=3 trl/scripts/sft.py", 6),
        ("python -m torch.distributed.run --nproc_per_node 2 -m trl.scripts.sft", 2),
        ("deepspeed --num_gpus 8 trl/scripts/sft.py", 8),
        ("deepspeed --include a:0,1@b:0,1 trl/scripts/sft.py", 4),
        ("trl sft --num_processes 3", 3),
        ("trl sft --accelerate_config fsdp2", 8),
        ("trl sft --num_processes 2 --accelerate_config fsdp2", 2),
        ("trl sft --accelerate_config fsdp2 --num_processes 2", 2),
        ("nohup python -m trl.scripts.sft", 1),
        ("uv run trl sft", 1),
        ("uv run --with peft trl sft --num_processes 2", 2),
        ("uvx --from trl trl sft", 1),
        ("srun --nodes 1 accelerate launch --num_processes 4 -m trl.scripts.sft", 4),
    ],
)
def test_processes_of_the_launcher_are_a_factor_of_the_batch(
    start: str, number: int, tmp_path: Path
) -> None:
    text = f"{start} {SFT.removeprefix('trl sft')} --per_device_train_batch_size 2"
    size = config_of(command(tmp_path, text))["batch_size"]
    assert eval(size) == 2 * number
    assert eval(config_of(command(tmp_path, text, num_processes=5))["batch_size"]) == 10


def test_a_number_of_processes_that_only_the_shell_knows_is_for_a_person(tmp_path: Path) -> None:
    text = f"accelerate launch --num_processes $N trl/scripts/sft.py {SFT.removeprefix('trl sft')}"
    found = by_flag(command(tmp_path, text))["--num_processes"]
    assert (found.fidelity, found.code) == (Fidelity.MANUAL, "MM223")


@pytest.mark.parametrize(
    ("flags", "flag", "code"),
    [
        ("--config missing.yaml", "--config", "MM122"),
        ('"$@"', '"$@"', "MM123"),
        ("$EXTRA", "$EXTRA", "MM123"),
        ("--no_such_option 3", "--no_such_option", "MM290"),
        ("--deepspeed missing.json", "--deepspeed", "MM122"),
    ],
)
def test_what_the_text_does_not_show_is_for_a_person_and_marked(
    flags: str, flag: str, code: str, tmp_path: Path
) -> None:
    result = command(tmp_path, SFT + "--logging_steps 5 " + flags)
    found = by_flag(result)[flag]
    assert (found.fidelity, found.code) == (Fidelity.MANUAL, code)
    assert f"TODO[mint-migrate {code}]" in text_of(result)


@pytest.mark.parametrize("start", ["bash -c", "ssh host", "eval", "sbatch --wrap"])
def test_a_command_inside_a_string_is_for_a_person(start: str, tmp_path: Path) -> None:
    result = command(tmp_path, f"{start} 'trl sft --model_name_or_path m --dataset_name d'\n")
    assert result.text is None
    assert [(item.fidelity, item.code) for item in result.decisions] == [(Fidelity.MANUAL, "MM123")]


def test_every_reason_of_a_flag_is_told(tmp_path: Path) -> None:
    """`use_peft` stands for the adapter's defaults: dropout, and which modules it reaches."""
    text = "trl sft --model_name_or_path m --dataset_name d --output_dir o --use_peft\n"
    found = by_flag(command(tmp_path, text))["--use_peft"]
    assert found.fidelity is Fidelity.APPROXIMATE
    assert {"MM206", "MM207"} <= {found.code, *re.findall(r"MM\d+", found.note)}


def test_nothing_of_a_command_that_is_not_converted_is_called_exact(tmp_path: Path) -> None:
    result = command(
        tmp_path, "trl reward --model_name_or_path m --dataset_name d --num_processes 2"
    )
    assert result.text is None
    assert {item.fidelity for item in result.decisions} == {Fidelity.MANUAL}


@pytest.mark.parametrize(
    "text",
    [
        "echo trl sft --model_name_or_path x\n",
        "# trl sft --model_name_or_path x\nls\n",
        "trl env\n",
        "trl vllm-serve --model x\n",
        "cat <<EOF\ntrl sft --model x\nEOF\n",
        "python train.py --trainer trl\n",
        "accelerate launch missing.py\n",
        "accelerate config\n",
        "accelerate launch plain.py\n",
        "grep trl requirements.txt\n",
    ],
)
def test_a_shell_script_that_trains_nothing_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text("print(1)\n", encoding="utf-8")
    (tmp_path / "train.sh").write_text(text, encoding="utf-8")
    assert isinstance(migrate(tmp_path / "train.sh"), Skipped)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("compose.yaml", "services: {a: {image: b}}\n", Skipped),
        ("accelerate.yaml", "num_processes: 2\nmixed_precision: bf16\n", Skipped),
        ("model.yaml", "model_name_or_path: m\ndataset_name: d\n", Failed),
        ("sft.yaml", "a: [1\n", Failed),
        ("sft.yaml", "- a\n", Failed),
    ],
)
def test_other_configurations_are_left_alone_or_say_what_is_missing(
    name: str, text: str, kind: type, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert isinstance(migrate(tmp_path / name), kind)


def test_in_place_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.sh"
    path.write_text(SFT, encoding="utf-8")
    assert cli.run(["--in-place", "--force", str(path)]) == 2
    assert "MM120" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == SFT


def test_an_edited_companion_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.sh"
    path.write_text(f"mkdir -p out\n{SFT}\nls out\n", encoding="utf-8")
    assert cli.run([str(path)]) == 0
    shell = tmp_path / "train_mint.sh"
    assert shell.read_text(encoding="utf-8").startswith('mkdir -p out\npython "$(dirname "$0")/')
    shell.write_text("mine\n", encoding="utf-8")
    assert cli.run([str(path)]) == 2
    assert "MM110" in capsys.readouterr().err
    assert shell.read_text(encoding="utf-8") == "mine\n"
    assert cli.run([str(tmp_path / "train_mint.py")]) == 0


def test_stdout_carries_the_script_alone(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["-o", "-", str(FOLDER / "sft_accelerate.sh")])
    ast.parse(capsys.readouterr().out)


def test_report_names_the_file_of_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["--diff", "--format", "json", str(FOLDER / "sft_with_config.sh")])
    items = json.loads(capsys.readouterr().out)["files"][0]["items"]
    lines = {item["source_text"]: (item.get("path"), item["line"]) for item in items}
    assert lines["max_length: 256"] == ("sft_stories.yaml", 16)
    assert lines["--learning_rate 1e-4"] == (None, 3)

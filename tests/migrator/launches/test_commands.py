"""Which commands train, behind whatever starts them, and what they are given."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from mint_migrate.batch import migrate_path
from mint_migrate.launches.commands import Launch, find_launches, hidden_commands
from mint_migrate.launches.places import Places
from mint_migrate.launches.script import read_shell
from mint_migrate.model.outcome import Migrated
from mint_migrate.model.source import Options

RL = "data.train_files=a.parquet actor_rollout_ref.model.path=m algorithm.adv_estimator=grpo"
FLAGS = "--pretrain m --train_batch_size 8 --micro_train_batch_size 1 --zero_stage 2"


def launches_of(text: str) -> list[Launch]:
    return find_launches(read_shell(text), Places(text))


def launch_of(text: str) -> Launch:
    (launch,) = launches_of(text)
    return launch


def given_to(launch: Launch) -> dict[str, str | None]:
    return {flag.name: flag.text for flag in launch.flags}


@pytest.mark.parametrize(
    ("command", "method", "is_copy"),
    [
        (f"python3 -m verl.trainer.main_ppo {RL}", "main_ppo", False),
        (f"python -u -X faulthandler verl/trainer/main_ppo.py {RL}", "main_ppo", False),
        (f"PYTHONUNBUFFERED=1 python3 -m recipe.dapo.main_dapo {RL}", "main_dapo", False),
        (f"torchrun --nnodes 1 -m verl.trainer.fsdp_sft_trainer {RL}", "fsdp_sft_trainer", False),
        (f"python main_ppo_custom.py {RL}", "main_ppo", True),
        (f"python -m recipe.prime.main_prime {RL}", "prime.main_prime", False),
        (f"python -m verl.experimental.one.main_ppo {RL}", "one.main_ppo", False),
        (f'E=${{E:-"-m verl.trainer.main_ppo"}}\npython $E {RL}', "main_ppo", False),
        (f"${{PYTHON:-python3}} -m verl.trainer.main_ppo {RL}", "main_ppo", False),
        (f"python -m agent_x.src.main_agent {RL}", "main_ppo", True),
        (f"nohup env A=b uv run python -m verl.trainer.main_ppo {RL} &", "main_ppo", False),
        (f"srun -N 1 apptainer run x.sif python3 -m verl.trainer.main_ppo {RL}", "main_ppo", False),
        (f"conda run -n rl python -m verl.trainer.main_ppo {RL}", "main_ppo", False),
        (f"bash -c 'cd /x && python -m verl.trainer.main_ppo {RL}'", "main_ppo", False),
        (f'docker exec c bash -lc "python -m verl.trainer.main_ppo {RL}"', "main_ppo", False),
        (f'C="python -m verl.trainer.main_ppo {RL}"\neval "$C"', "main_ppo", False),
        (f'C="python -m verl.trainer.main_ppo {RL}"\n$C', "main_ppo", False),
        (
            f"sbatch <<'EOF'\n#!/bin/bash\npython -m verl.trainer.main_ppo {RL}\nEOF",
            "main_ppo",
            False,
        ),
        (f"cat <<EOF > j.sh\npython -m verl.trainer.main_ppo {RL}\nEOF", "main_ppo", False),
        (f"deepspeed --module openrlhf.cli.train_sft {FLAGS}", "train_sft", False),
        (f"deepspeed ../openrlhf/cli/train_dpo.py {FLAGS}", "train_dpo", False),
        (f"python train_ppo_ray_mine.py {FLAGS}", "train_ppo_ray", True),
        (f"T='openrlhf.cli.train_kto {FLAGS}'\ndeepspeed --module $T", "train_kto", False),
        (
            f"read -r -d '' T <<EOF\nopenrlhf.cli.train_sft {FLAGS}\nEOF\ndeepspeed --module $T",
            "train_sft",
            False,
        ),
        (
            f"ray job submit -- python3 -m openrlhf.cli.train_ppo_ray {FLAGS}",
            "train_ppo_ray",
            False,
        ),
        (f'f() {{ python3 -m verl.trainer.main_ppo {RL} "$@"; }}\nf a.b=1', "main_ppo", False),
    ],
)
def test_a_training_is_found_behind_what_starts_it(
    command: str, method: str, *, is_copy: bool
) -> None:
    launch = launch_of(command)
    assert (launch.method, launch.is_copy) == (method, is_copy)
    names = given_to(launch)
    assert names["data.train_files" if launch.framework == "verl" else "pretrain"] in {
        "a.parquet",
        "m",
    }


@pytest.mark.parametrize(
    "command",
    [
        f"echo python -m verl.trainer.main_ppo {RL}",
        f"cat <<EOF\npython -m verl.trainer.main_ppo {RL}\nEOF",
        f"# python -m verl.trainer.main_ppo {RL}",
        "python -m openrlhf.cli.serve_rm --port 5000",
        "python train_sft.py --lr 1",
        "python prepare.py data.dir=x",
        "ray start --head",
    ],
)
def test_other_commands_train_nothing(command: str) -> None:
    assert [launch for launch in launches_of(command) if launch.framework] == []


def test_flags_are_told_apart_by_who_reads_them() -> None:
    launch = launch_of(
        "ray job submit --address='http://a:1' --no-wait "
        '--runtime-env-json=\'{"env_vars": {"WANDB_MODE": "offline", "KEY": "\'$KEY\'", '
        '"NCCL_DEBUG": "INFO"}}\' -- torchrun --nproc_per_node 2 -m verl.trainer.main_ppo '
        f"{RL} --config-name x"
    )
    assert [flag.name for flag in launch.submission] == ["address", "no_wait", "runtime_env_json"]
    assert [flag.name for flag in launch.launcher_flags] == ["nproc_per_node"]
    assert given_to(launch)["config_name"] == "x"
    assert launch.variables == (("WANDB_MODE", "offline"), ("KEY", '"${KEY}"'))


def test_options_behind_a_comment_are_not_given_to_the_command() -> None:
    text = f"python -m verl.trainer.main_ppo {RL} \\\n  # trainer.nnodes=1 \\\n  trainer.x=2 b=3\n"
    launch = launch_of(text)
    assert "trainer.x" not in given_to(launch)
    assert [word.source for word in launch.cut_off] == ["trainer.x=2", "b=3"]


def test_a_command_that_is_not_reached_is_said_to_be() -> None:
    text = f"exit 0\npython -m verl.trainer.main_ppo {RL}\n"
    assert not launch_of(text).is_reached


def test_a_string_that_hides_a_training_is_found() -> None:
    text = "parallel ::: 'cd x; $RUN -m verl.trainer.main_ppo a.b=1'\n"
    shell = read_shell(text)
    assert len(hidden_commands(shell, launches_of(text))) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("bash -c 'cd /x && {}' y", "bash -c 'cd /x && {}' y"),
        ('srun bash -c "cd /x; {}"', 'srun bash -c "cd /x; {}"'),
        (
            "cat <<EOF > j.sh\nA=1\n{}\nEOF\nsbatch j.sh",
            "cat <<EOF > j.sh\nA=1\n{}\nEOF\nsbatch j.sh",
        ),
        ("for s in 1 2; do\n  {} a.b=$s\ndone", "for s in 1 2; do\n  {}\ndone"),
        ("ray start --head\nray job submit --address=a -- {}", None),
        ("export NCCL_DEBUG=WARN\nset -x\n{}", None),
        ("export WANDB_MODE=offline\n{}", "export WANDB_MODE=offline\n{}"),
        ("WANDB_MODE=offline {}", "WANDB_MODE=offline {}"),
    ],
)
def test_the_copy_of_a_launcher_starts_the_result_in_its_place(
    before: str, after: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "run.sh"
    command = f"python3 -m verl.trainer.main_ppo {RL}"
    path.write_text(before.format(command) + "\n", encoding="utf-8")
    outcome, trace = migrate_path(path, Options())
    assert isinstance(outcome, Migrated), trace
    copies = [item.text for item in outcome.companions if item.ending.endswith(".sh")]
    assert outcome.text is not None
    if after is None:
        assert copies == []
        return
    (copy,) = copies
    is_elsewhere = "bash -c" in before or "<<" in before
    call = "python run_mint.py" if is_elsewhere else 'python "$(dirname "$0")/run_mint.py"'
    assert copy.startswith(after.format(call))
    subprocess.run(["bash", "-n"], input=copy, text=True, check=True, timeout=20)


def test_what_a_string_needs_is_escaped_in_it(tmp_path: Path) -> None:
    """The result is told a value that the outer shell computes, from inside double quotes."""
    path = tmp_path / "run.sh"
    command = f"python3 -m verl.trainer.main_ppo {RL} trainer.project_name=$D"
    path.write_text(f'D=$(printf "a b")\nbash -c "{command}"\n', encoding="utf-8")
    outcome, _ = migrate_path(path, Options())
    assert isinstance(outcome, Migrated)
    assert outcome.text is not None
    (copy,) = outcome.companions
    copied = copy.text.replace("python run_mint.py", "printenv D")
    ran = subprocess.run(
        ["bash"], input=copied, text=True, check=True, capture_output=True, timeout=20
    )
    assert ran.stdout == "a b\n", copy.text


def test_variables_of_a_job_reach_the_result(tmp_path: Path) -> None:
    path = tmp_path / "run.sh"
    path.write_text(
        'ray job submit --runtime-env-json=\'{"env_vars": {"WANDB_MODE": "offline now"}}\' '
        f"-- python3 -m verl.trainer.main_ppo {RL}\n",
        encoding="utf-8",
    )
    outcome, _ = migrate_path(path, Options())
    assert isinstance(outcome, Migrated)
    (copy,) = outcome.companions
    assert copy.text.startswith("env WANDB_MODE='offline now' python ")

"""Options of command-line programs are read from their source, which is not run."""

from __future__ import annotations

import ast
import zipfile

import pytest
from mint_migrate.tables.record import record_wheel
from mint_migrate.tables.record_openrlhf import read_flags

PROGRAM = """
import a_package_that_does_not_exist

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--max_len", type=int, default=2048, help="longest row")
    parser.add_argument("--ckpt.max_mem", type=int, default=int(1e8))
    parser.add_argument("--ckpt.age", type=float, default=float("inf"))
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--label_key", type=str)
    parser.add_argument("--model_path", type=str, required=True)
    parser.add_argument("--name", type=str, default="run_%s" % datetime.now())
    for prefix in ("actor", "critic"):
        parser.add_argument(f"--{prefix}.lr", default=1e-6 if prefix == "actor" else 9e-6)
        parser.add_argument(f"--{prefix}.nesterov", action="store_true", default=True)
        parser.add_argument(
            f"--{prefix}.no_nesterov", dest=f"{prefix}.nesterov", action="store_false"
        )
    for name in names():
        parser.add_argument(f"--{name}", type=int)
    args = parser.parse_args()
    print("--not_an_option")
"""


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("max_len", "2048"),
        ("ckpt.max_mem", "100000000"),
        ("ckpt.age", "1e999"),
        ("packing", "False"),
        ("label_key", "None"),
        ("model_path", None),
        ("name", None),
        ("actor.lr", "1e-06"),
        ("critic.lr", "9e-06"),
        ("actor.nesterov", "True"),
        ("critic.no_nesterov", None),
    ],
)
def test_an_option_is_recorded_with_its_default(name, default):
    fields = read_flags(ast.parse(PROGRAM))
    assert name in fields
    assert fields[name] == default


def test_nothing_but_options_is_recorded():
    assert len(read_flags(ast.parse(PROGRAM))) == 13


@pytest.mark.parametrize("folder", ["openrlhf", "openrlhf-0.9.1.data/purelib/openrlhf"])
def test_every_program_of_a_wheel_is_recorded(tmp_path, folder):
    path = tmp_path / "openrlhf-0.9.1-cp311-cp311-manylinux1_x86_64.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{folder}/cli/__init__.py", "")
        wheel.writestr(f"{folder}/cli/train_sft.py", PROGRAM)
        wheel.writestr(f"{folder}/trainer/sft_trainer.py", PROGRAM)
    record = record_wheel(path)
    assert (record["package"], record["version"]) == ("openrlhf", "0.9.1")
    assert list(record["classes"]) == ["openrlhf.train_sft"]
    assert record["classes"]["openrlhf.train_sft"]["fields"]["max_len"] == "2048"

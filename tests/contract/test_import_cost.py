"""What a command imports. Counted by module, because times differ between machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = frozenset({"torch", "transformers", "peft", "trl", "mint", "tinker", "pydantic", "yaml"})
FOR_MIGRATION = frozenset({"libcst", "jinja2"})
FOR_TABLES = frozenset({"rich"})
PROBE = """
import sys
from mint_migrate.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("\\n", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def imported(*arguments: str, cwd: Path) -> set[str]:
    """Return the top-level modules loaded after the command line *arguments* ran."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rsplit("\n", 2)[-2].split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["migrate", "--help"],
        ["ask", "what replaces SFTTrainer"],
        ["explain", "MM203"],
        ["todo"],
        ["scan"],
        ["schema"],
        ["doctor"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_small_command_imports_nothing_that_is_slow(arguments, tmp_path):
    loaded = imported(*arguments, cwd=tmp_path)
    assert "mint_migrate" in loaded
    assert loaded & (HEAVY | FOR_MIGRATION) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["schema"]])
def test_a_command_without_tables_does_without_rich(arguments, tmp_path):
    assert imported(*arguments, cwd=tmp_path) & FOR_TABLES == set()


def test_a_migration_imports_neither_the_runtime_nor_the_client_nor_the_framework(tmp_path):
    (tmp_path / "train.py").write_text(
        'from trl import SFTTrainer\n\ntrainer = SFTTrainer("m", train_dataset=rows)\n'
        "trainer.train()\n"
    )
    loaded = imported("train.py", cwd=tmp_path)
    assert loaded & HEAVY == set()
    assert "mint_runtime" not in loaded
    assert "libcst" in loaded


def test_a_script_without_a_framework_does_not_cost_libcst(tmp_path):
    (tmp_path / "train.py").write_text("print('hello')\n")
    assert imported("train.py", cwd=tmp_path) & (HEAVY | FOR_MIGRATION) == set()

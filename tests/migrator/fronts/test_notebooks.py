"""Notebooks in and out: what is not the framework's keeps its bytes; decisions name their cell."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mint_migrate import cli, outputs
from mint_migrate.fronts.magics import hide, show
from mint_migrate.fronts.notebook import read_notebook, rebuild
from mint_migrate.fronts.notebooks import join_cells, migrate_notebook, split_cells
from mint_migrate.model.outcome import Failed, Migrated, Skipped
from mint_migrate.model.source import Options, Source
from support.notebooks import found_in_cells
from support.scripts import converted, tables

FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "before" / "notebooks"
ALL = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
CONVERTED = ["await_and_strings", "sft_tutor", "unsloth_alpaca"]


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")


def migrate(text: str, **options: Any) -> Migrated | Failed | Skipped:
    source = Source(path="train.ipynb", content=text.encode(), text=text, newline="\n")
    return migrate_notebook(source, Options(**options), tables())


def migrated(name: str) -> Migrated:
    result = migrate(text_of(name))
    assert isinstance(result, Migrated), result
    return result


def notebook(*sources: str, **metadata: Any) -> str:
    """Return a small notebook of code cells."""
    cells = [
        {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [], "source": source}
        for source in sources
    ]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})


def test_every_fixture_has_a_case() -> None:
    listed = tomllib.loads((FOLDER.parents[1] / "notebooks.toml").read_text(encoding="utf-8"))
    assert sorted(Path(case["path"]).stem for case in listed["notebook"]) == ALL


SFT = (
    "from trl import SFTConfig, SFTTrainer\n"
    "from peft import LoraConfig\n"
    "from datasets import load_dataset",
    'rows = load_dataset("acme/chats", split="train")',
    'SFTTrainer("Qwen/Qwen3-0.6B", args=SFTConfig(output_dir="o", save_strategy="no"), '
    "train_dataset=rows, peft_config=LoraConfig(r=8, lora_alpha=32)).train()",
)


@pytest.mark.parametrize("name", CONVERTED)
def test_decisions_are_what_an_independent_count_finds_in_each_cell(name: str) -> None:
    ours = sorted(
        (item.found.span.cell, item.found.kind.value, item.found.span.line, item.found.span.column)
        for item in migrated(name).decisions
    )
    assert ours == found_in_cells(text_of(name))


@pytest.mark.parametrize("name", CONVERTED)
def test_cells_that_say_nothing_of_the_framework_keep_their_bytes(name: str) -> None:
    before, result = text_of(name), migrated(name)
    after = converted(result)
    touched = {item.found.span.cell for item in result.decisions}
    old = read_notebook(before)
    kept = [cell.extent.of(before) for cell in old.cells if cell.number not in touched]
    new = [cell.extent.of(after) for cell in read_notebook(after).cells]
    assert kept
    assert [text for text in kept if text not in new] == []
    assert (
        before[: old.cells[0].extent.start] == after[: read_notebook(after).cells[0].extent.start]
    )
    assert after.endswith(before[old.cells[-1].extent.end :])


@pytest.mark.parametrize("name", CONVERTED)
def test_changed_cells_keep_their_metadata_and_lose_their_outputs(name: str) -> None:
    before = json.loads(text_of(name))["cells"]
    after = json.loads(converted(migrated(name)))["cells"]
    unchanged = [cell["source"] for cell in before]
    changed = [
        cell for cell in after if cell["cell_type"] == "code" and cell["source"] not in unchanged
    ]
    assert len(changed) >= 3
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in changed)
    metadata = [cell["metadata"] for cell in before if cell["metadata"]]
    assert [item for item in metadata if item not in [cell["metadata"] for cell in after]] == []


@pytest.mark.parametrize("name", CONVERTED)
def test_form_of_the_file_is_kept(name: str) -> None:
    before, after = json.loads(text_of(name)), json.loads(converted(migrated(name)))
    assert {key: after[key] for key in after if key != "cells"} == {
        key: before[key] for key in before if key != "cells"
    }
    has_ids = (before["nbformat"], before["nbformat_minor"]) >= (4, 5)
    assert all(("id" in cell) == has_ids for cell in after["cells"])
    ids = [cell["id"] for cell in after["cells"] if has_ids]
    assert len(set(ids)) == len(ids)
    assert {type(cell["source"]) for cell in before["cells"]} <= {
        type(cell["source"]) for cell in after["cells"]
    }


def test_shell_lines_and_magics_stand_in_their_cells_as_before() -> None:
    after = [cell.source for cell in read_notebook(converted(migrated("sft_tutor"))).cells]
    assert any(source.startswith("%%time\ntraining_client = train(") for source in after)
    assert any("files = !ls runs" in source for source in after)
    assert any(source.startswith("%pip install -q \\\n    trl==1.16.0") for source in after)
    assert "load_dataset?" in after


def test_new_functions_stand_before_the_first_cell_that_uses_them() -> None:
    cells = read_notebook(converted(migrated("sft_tutor"))).cells
    functions = next(cell for cell in cells if "def train(" in cell.source)
    uses = [cell.number for cell in cells if "SimpleNamespace(" in cell.source]
    installs = next(cell for cell in cells if cell.source.startswith("%pip"))
    assert installs.number < functions.number < min(uses)


def test_the_first_cell_says_where_it_comes_from_and_names_cells() -> None:
    first = read_notebook(converted(migrated("sft_tutor"))).cells[0]
    assert first.kind == "markdown"
    assert "converted from train.ipynb" in first.source
    assert "- cell 10, line 1, MM231:" in first.source
    assert "- line" not in first.source


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text_of("magics_only"), id="magics, no framework"),
        pytest.param(notebook("import numpy"), id="plain"),
        pytest.param(notebook("class SFTTrainer:\n    pass"), id="own class"),
        pytest.param(
            notebook(*SFT, kernelspec={"language": "R", "name": "ir"}), id="another language"
        ),
        pytest.param(json.dumps({"cells": [], "nbformat": 4, "nbformat_minor": 5}), id="no cells"),
        pytest.param(notebook("%%writefile train.py\n" + SFT[0]), id="the body of another magic"),
    ],
)
def test_a_notebook_without_the_framework_is_left_alone(text: str) -> None:
    assert isinstance(migrate(text), Skipped)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "no list of cells"),
        ('{"worksheets": [{"cells": []}], "nbformat": 3}', "no list of cells"),
        ("[1, 2]", "no list of cells"),
        ("nonsense", "not a notebook"),
    ],
)
def test_what_is_no_notebook_says_so(text: str, reason: str) -> None:
    result = migrate(text)
    assert isinstance(result, Failed)
    assert reason in result.reason


def test_a_cell_that_does_not_parse_is_named() -> None:
    result = migrate(notebook(SFT[0], "x = 1\ny = = 2"))
    assert isinstance(result, Failed)
    assert result.span is not None
    assert result.span.start == "cell 2, line 2, column 5"


def test_awaiting_at_the_top_level_is_a_notebooks_right() -> None:
    assert "await read_rows()" in converted(migrated("await_and_strings"))


@pytest.mark.parametrize("name", CONVERTED)
def test_running_the_result_is_no_edit_and_changing_it_is(name: str) -> None:
    text = outputs.stamp(converted(migrated(name)), ".ipynb")
    assert outputs.is_our_output(text, ".ipynb")
    assert not outputs.was_edited(text, ".ipynb")
    data = json.loads(text)
    data["cells"][-1]["metadata"]["collapsed"] = True
    assert not outputs.was_edited(json.dumps(data), ".ipynb")
    data["cells"][2]["source"] = "x = 1"
    assert outputs.was_edited(json.dumps(data), ".ipynb")
    assert outputs.stamp(text, ".ipynb") == text


def test_command_writes_beside_the_notebook_and_keeps_what_a_person_made_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(shutil.copy(FOLDER / "sft_tutor.ipynb", tmp_path))
    output = tmp_path / "sft_tutor_mint.ipynb"
    assert cli.run([str(source)]) == 0
    written = output.read_text(encoding="utf-8")
    data = json.loads(written)
    assert [item for item in data["cells"] if item["source"][:1] == ["%%time\n"]]
    data["cells"][-1]["outputs"] = []
    data["metadata"]["ran"] = True
    output.write_text(json.dumps(data), encoding="utf-8")
    assert cli.run([str(source)]) == 0
    assert json.loads(output.read_text(encoding="utf-8"))["metadata"]["ran"]
    output.write_text(written.replace("rank=16", "rank=4"), encoding="utf-8")
    capsys.readouterr()
    assert cli.run([str(source)]) == 2
    assert "MM110" in capsys.readouterr().err
    assert cli.run([str(output)]) == 0
    assert "MM111" in capsys.readouterr().err


def test_report_names_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(shutil.copy(FOLDER / "unsloth_alpaca.ipynb", tmp_path))
    cli.run(["--format", "json", str(source)])
    items = json.loads(capsys.readouterr().out)["files"][0]["items"]
    assert {item["cell"] for item in items} <= {3, 4, 6, 7, 8, 9}
    assert [item["cell"] for item in items] == sorted(item["cell"] for item in items)


def test_release_is_read_from_what_the_notebook_installs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(shutil.copy(FOLDER / "unsloth_alpaca.ipynb", tmp_path))
    cli.run(["--format", "json", str(source)])
    assert json.loads(capsys.readouterr().out)["files"][0]["framework_version"] == "0.19.1"


MAGICS = [
    "!ls -la", "%pip install x", "files = !ls *.py", "t = %timeit -o f()", "?len", "len??", "a.b?",
    "if x:\n    !echo '(' {x}", "!cat <<'''", "%%capture out\nx = 1", "%%bash\nfor i in 1; do\n(",
    "!a \\\n  b \\\n  c\nx = 2", "pip install trl", "from __future__ import annotations\nx = 3",
]  # fmt: skip
PYTHON = [
    "x = 1  # why?", "s = '''\n!not\n%this\nnor?\n'''", "y = (10\n  %3)", "z = 7 \\\n  % 2",
    'q = "a # b"\nw = [1,\n]', "a = b != c", "f(x=1)[0]", "# only a comment \\", "",
]  # fmt: skip


@pytest.mark.parametrize("line", MAGICS)
def test_what_python_does_not_know_is_hidden_on_as_many_lines(line: str) -> None:
    hidden, kept = hide(line, 1)
    assert kept
    compile(hidden, "cell", "exec")
    if not line.startswith("%%bash"):
        assert hidden.count("\n") == line.count("\n")
    assert show(hidden, kept) == line


@pytest.mark.parametrize("line", PYTHON)
def test_python_is_not_taken_for_a_magic(line: str) -> None:
    assert hide(line, 1) == (line, ())


@given(st.lists(st.lists(st.sampled_from([*MAGICS, *PYTHON]), max_size=4), min_size=1, max_size=5))
def test_joining_and_splitting_gives_every_cell_back(cells: list[list[str]]) -> None:
    sources = ["\n".join(lines) for lines in cells]
    joined = join_cells(read_notebook(notebook(*sources)))
    start, split = split_cells(joined.text, joined.kept)
    assert start == ""
    assert list(split.values()) == [source.strip("\n") for source in sources]
    for number, source in enumerate(sources, start=1):
        line = joined.starts[number] + 1
        assert joined.place(line) == (number, 1), source


@given(
    st.lists(st.text(), min_size=1, max_size=4),
    st.sampled_from([None, 1, 2, "\t"]),
    st.booleans(),
    st.booleans(),
)
def test_a_notebook_with_nothing_changed_keeps_its_bytes(
    sources: list[str], indent: Any, is_ascii: bool, as_lines: bool
) -> None:
    data = json.loads(notebook(*sources))
    if as_lines:
        for cell in data["cells"]:
            cell["source"] = cell["source"].splitlines(keepends=True)
    text = json.dumps(data, indent=indent, ensure_ascii=is_ascii)
    assert rebuild(read_notebook(text), {}, []) == text
    changed = rebuild(read_notebook(text), {1: "a = 1\nb = 2"}, [])
    assert json.loads(changed)["cells"][1:] == data["cells"][1:]
    assert "".join(json.loads(changed)["cells"][0]["source"]) == "a = 1\nb = 2"

"""Before anything is trained: which scripts are compared, and what stops a comparison."""

from pathlib import Path

import pytest
from mint_migrate.bridge.commands import verify_command
from mint_migrate.bridge.errors import CannotRun
from mint_migrate.bridge.names import find_names
from mint_migrate.bridge.world import load_rows, plan_rows, write_missing_files


@pytest.fixture
def script(tmp_path) -> Path:
    """Return a script that trains nothing."""
    file = tmp_path / "train.py"
    file.write_text("x = 1\n")
    return file


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"num_steps": 0}, "at least 1"),
        ({"plot": Path("curves.png")}, "does not end with .svg"),
        ({"base_model": Path("no-such-folder")}, "no config.json"),
        ({"converted": Path("no_such_file.py")}, "cannot be read"),
        ({}, "train_mint.py does not exist"),
        ({"convert": lambda source, target: None}, "could not be converted"),
    ],
    ids=["no steps", "plot", "model", "conversion missing", "no conversion", "unconvertible"],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(script, arguments, reason):
    with pytest.raises(CannotRun, match=reason):
        verify_command(script, **arguments)


def test_converter_is_asked_only_when_there_is_no_conversion(script):
    asked = []
    script.with_name("train_mint.py").write_text("def broken(\n")
    with pytest.raises(CannotRun, match=r"train_mint\.py is not Python"):
        verify_command(script, convert=lambda source, target: asked.append(source))
    assert asked == []


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("d.jsonl", '{"text": "a"}\n{"text": "b"}\n', ({"text": "a"}, {"text": "b"})),
        ("d.json", '[{"text": "a"}]', ({"text": "a"},)),
        ("d.csv", "text,n\na,1\n", ({"text": "a", "n": "1"},)),
    ],
)
def test_rows_of_the_user_are_read(tmp_path, name, content, rows):
    (tmp_path / name).write_text(content)
    assert load_rows(tmp_path / name) == rows


@pytest.mark.parametrize("content", ["", "not json", "text\n"])
def test_file_without_rows_is_refused(tmp_path, content):
    file = tmp_path / ("d.csv" if content == "text\n" else "d.jsonl")
    file.write_text(content)
    with pytest.raises(CannotRun, match=r"d\.(csv|jsonl)"):
        load_rows(file)


@pytest.mark.parametrize(
    ("settings", "at_least", "below"),
    [
        # 20 steps of 16 rows are 320; with epochs the first must end within them.
        (
            "per_device_train_batch_size=4, gradient_accumulation_steps=4, num_train_epochs=1",
            305,
            321,
        ),
        (
            "per_device_train_batch_size=4, gradient_accumulation_steps=4, num_train_epochs=2",
            160,
            200,
        ),
        ("per_device_train_batch_size=1", 48, 49),
    ],
)
def test_rows_last_for_the_steps_and_show_the_end_of_an_epoch(settings, at_least, below):
    assert at_least <= plan_rows(f"SFTConfig({settings})", 20).num_rows < below


@pytest.mark.parametrize("num_steps", [2, 10, 20, 1000])
@pytest.mark.parametrize("batch", [2, 4])
def test_rows_end_on_an_incomplete_batch(batch, num_steps):
    source = f"SFTConfig(per_device_train_batch_size={batch}, gradient_accumulation_steps=4)"
    assert plan_rows(source, num_steps).num_rows % (4 * batch) != 0


def test_missing_data_file_is_written_and_an_existing_one_is_kept(tmp_path):
    source = (
        "load_dataset('json', data_files='new/a.jsonl')\n"
        "load_dataset('json', data_files='kept.jsonl')\n"
        "load_dataset('csv', data_files='b.csv')\n"
        "load_dataset('json', data_files='../outside.jsonl')\n"
        "SFTConfig(dataset_text_field='body')\n"
    )
    (tmp_path / "kept.jsonl").write_text("mine")
    folder = tmp_path
    written = write_missing_files(source, folder, find_names(source), num_steps=2)
    assert set(written) == {"new/a.jsonl", "b.csv"}
    assert (folder / "kept.jsonl").read_text() == "mine"
    assert set(load_rows(folder / "new" / "a.jsonl")[0]) == {"body"}
    assert set(load_rows(folder / "b.csv")[0]) == {"body"}

"""Reading and writing the user's files: encodings, newlines, modes, refusals."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from mint_migrate import files
from mint_migrate.errors import UsageError, WriteError
from mint_migrate.model.outcome import Failed, Skipped
from mint_migrate.model.source import Source, Span
from mint_migrate.stamp import stamp

SCRIPT = "import trl\n\nprint('ä')\n"


def read(tmp_path: Path, content: bytes, name: str = "train.py") -> Source | Failed:
    path = tmp_path / name
    path.write_bytes(content)
    return files.read(path)


def test_a_script_is_read_as_text_and_bytes(tmp_path):
    source = read(tmp_path, SCRIPT.encode())
    assert source == Source(
        path=str(tmp_path / "train.py"), content=SCRIPT.encode(), text=SCRIPT, newline="\n"
    )


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"import trl\nx = '\xe4'\n", "MM102", "byte 0xe4 at line 2, column 6"),
        ("ä = 1\n".encode() + b"\xff", "MM102", "line 2, column 1"),
        ("import trl\n".encode("utf-16"), "MM102", "UTF-16"),
        ("# coding: latin-1\nx = 'ä'\n".encode(), "MM102", "`latin-1`"),
        (b"import trl\n\x00", "MM104", "byte 11 is NUL"),
    ],
)
def test_a_file_that_is_no_script_fails_with_its_reason(tmp_path, content, code, words):
    failed = read(tmp_path, content)
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert words in failed.reason


@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_nothing_to_migrate(tmp_path, content):
    skipped = read(tmp_path, content)
    assert isinstance(skipped, Skipped)
    assert skipped.code == "MM103"


def test_the_bad_byte_has_a_span_counted_in_characters(tmp_path):
    failed = read(tmp_path, "ok = 1\nä".encode() + b"\x80")
    assert failed.span == Span(line=2, column=2, end_line=2, end_column=3)


@pytest.mark.parametrize("declaration", ["utf-8", "UTF8", "utf_8"])
def test_a_declaration_of_utf8_is_accepted(tmp_path, declaration):
    assert isinstance(read(tmp_path, f"# coding: {declaration}\nx = 'ä'\n".encode()), Source)


def test_another_declaration_is_accepted_where_every_byte_is_ascii(tmp_path):
    assert isinstance(read(tmp_path, b"# -*- coding: latin-1 -*-\nx = 1\n"), Source)


def test_a_declaration_in_line_three_is_a_comment(tmp_path):
    assert isinstance(read(tmp_path, "x = 1\ny = 2\n# coding: latin-1 ä\n".encode()), Source)


def test_a_missing_file_fails(tmp_path):
    failed = files.read(tmp_path / "nope.py")
    assert (failed.code, failed.reason) == ("MM105", "no such file")


@pytest.mark.parametrize("name", ["train.js", "train"])
def test_a_file_without_the_suffix_of_python_fails(tmp_path, name):
    assert read(tmp_path, b"import trl\n", name).code == "MM104"


@pytest.mark.parametrize(
    "content",
    [
        b"a = 1\r\nb = 2\r\n",
        b"a = 1\nb = 2\n",
        b"\xef\xbb\xbfa = 1\r\nb = 2",
        b"\xef\xbb\xbfa = 1\nb = 2",
    ],
)
def test_newlines_and_byte_order_mark_survive_a_round_trip(tmp_path, content):
    source = read(tmp_path, content)
    assert source.text.startswith("a = 1\nb = 2")
    assert files.encode(source.text, source) == content


def test_the_newline_used_most_often_is_that_of_the_file(tmp_path):
    source = read(tmp_path, b"a\r\nb\r\nc\n")
    assert (source.newline, source.text) == ("\r\n", "a\nb\nc\n")


def test_writing_equal_bytes_touches_nothing(tmp_path):
    path = tmp_path / "train_mint.py"
    path.write_bytes(b"same\n")
    os.utime(path, ns=(1_000_000_000, 1_000_000_000))
    assert files.write(path, b"same\n") is False
    assert path.stat().st_mtime_ns == 1_000_000_000


def test_writing_keeps_the_mode_of_the_file_replaced(tmp_path):
    path = tmp_path / "train_mint.py"
    path.write_bytes(b"old\n")
    path.chmod(0o750)
    assert files.write(path, b"new\n") is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert path.read_bytes() == b"new\n"


def test_a_new_file_has_the_mode_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        files.write(tmp_path / "new.py", b"x\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.py").stat().st_mode) == 0o640


def test_writing_leaves_no_other_file_behind(tmp_path):
    files.write(tmp_path / "a" / "b.py", b"x\n")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.py"]


def test_writing_through_a_symbolic_link_keeps_the_link(tmp_path):
    target = tmp_path / "real.py"
    target.write_bytes(b"old\n")
    link = tmp_path / "link.py"
    link.symlink_to(target)
    files.write(link, b"new\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\n"


def test_a_failed_write_leaves_the_old_file_and_says_why(tmp_path, monkeypatch):
    path = tmp_path / "train_mint.py"
    path.write_bytes(b"old\n")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(WriteError, match="MM114 cannot write: No space left on device"):
        files.write(path, b"new\n")
    assert path.read_bytes() == b"old\n"
    assert [each.name for each in tmp_path.iterdir()] == ["train_mint.py"]


@pytest.mark.parametrize(
    ("source", "output", "base", "expected"),
    [
        ("src/train.py", None, None, "src/train_mint.py"),
        ("src/train.py", "out", None, "out/train_mint.py"),
        ("src/a/train.py", "out", "src", "out/a/train_mint.py"),
        ("src/train.py", "other.py", None, "other.py"),
    ],
)
def test_the_output_lies_beside_the_source_or_where_asked(source, output, base, expected):
    path = files.output_path(
        Path(source), Path(output) if output else None, Path(base) if base else None
    )
    assert path == Path(expected)


def test_an_existing_folder_named_like_a_script_is_a_folder(tmp_path):
    (tmp_path / "out.py").mkdir()
    assert files.output_path(Path("train.py"), tmp_path / "out.py") == (
        tmp_path / "out.py" / "train_mint.py"
    )


def test_an_output_may_not_be_its_own_source(tmp_path):
    with pytest.raises(UsageError, match="names the source itself"):
        files.output_path(tmp_path / "train.py", tmp_path / "." / "train.py")


def test_an_output_as_we_wrote_it_may_be_overwritten(tmp_path):
    path = tmp_path / "train_mint.py"
    path.write_text(stamp('"""Doc."""\nx = 1\n'))
    assert files.refusal(path) is None


def test_an_output_whose_newlines_a_checkout_changed_may_be_overwritten(tmp_path):
    path = tmp_path / "train_mint.py"
    path.write_bytes(stamp('"""Doc."""\nx = 1\n').replace("\n", "\r\n").encode())
    assert files.refusal(path) is None


@pytest.mark.parametrize(
    "text", [stamp('"""Doc."""\nx = 1\n') + "y = 2\n", "somebody = 'else'\n", "not python ("]
)
def test_somebodys_work_is_not_overwritten(tmp_path, text):
    path = tmp_path / "train_mint.py"
    path.write_text(text)
    assert files.refusal(path).code == "MM110"


def test_nothing_stands_in_the_way_of_a_new_output(tmp_path):
    assert files.refusal(tmp_path / "train_mint.py") is None

"""Read the user's files and write ours, as bytes: encoding, newline style, byte-order mark, mode.

The only module besides the journal that touches the disk. A file that cannot be migrated becomes a
`Failed` with a code; nothing is guessed about its encoding. Writing is atomic and leaves a file
alone, its time stamp included, when the bytes are already right.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from mint_migrate.errors import UsageError, WriteError
from mint_migrate.model.outcome import Failed, Skipped
from mint_migrate.model.source import Source, Span
from mint_migrate.outputs import SHELL_SUFFIXES, was_edited

BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
# PEP 263: a declaration in a comment on one of the first two lines.
_ENCODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.MULTILINE)
SUFFIXES = frozenset({".py", ".ipynb", ".yaml", ".yml", *SHELL_SUFFIXES})
"""What can be migrated: scripts, notebooks, shell launchers, configurations of `trl` commands."""
LAUNCHES = SUFFIXES - {".py", ".ipynb"}
"""What becomes a script of another name; it is never replaced in place."""
_UTF8_NAMES = frozenset({b"utf-8", b"utf8", b"utf-8-sig", b"u8", b"ascii", b"us-ascii"})


def read(path: str | Path) -> Source | Failed | Skipped:
    """Return the script at *path*, or why there is none: MM102 to MM105.

    Failed: MM102 not UTF-8, with the place of the first bad byte; MM104 not Python, by its suffix
    or a NUL byte; MM105 missing or unreadable. Skipped: MM103 empty.
    """
    shown = os.fspath(path)
    if Path(path).suffix not in SUFFIXES and Path(path).is_file():
        return _failed(
            shown,
            "MM104",
            "this is not a script, a notebook, a shell launcher or YAML",
            hint="give the script or notebook that builds the trainer, or what starts it",
        )
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return _unreadable(shown, error)
    return parse(shown, content)


def read_any(path: Path) -> Source | Failed | Skipped:
    """Return the text file at *path*, whatever its suffix; see `read`."""
    try:
        return parse(os.fspath(path), path.read_bytes())
    except OSError as error:
        return _unreadable(os.fspath(path), error)


def parse(path: str, content: bytes) -> Source | Failed | Skipped:
    """Return *content* as a `Source` that shows as *path*; see `read`."""
    has_bom = content.startswith(BOM)
    body = content[len(BOM) :] if has_bom else content
    if not body.strip():
        return Skipped(path=path, code="MM103", reason="the file is empty")
    if b"\x00" in body and not body.startswith(_UTF16_BOMS):
        return _failed(
            path,
            "MM104",
            f"this is not Python: byte {content.index(0)} is NUL",
            span=_start_of_file(),
        )
    text = _decode(path, body)
    if isinstance(text, Failed):
        return text
    num_crlf = body.count(b"\r\n")
    newline = "\r\n" if num_crlf > body.count(b"\n") - num_crlf else "\n"
    return Source(
        path=path,
        content=content,
        text=text.replace("\r\n", "\n").replace("\r", "\n"),
        newline=newline,
        has_bom=has_bom,
    )


def encode(text: str, source: Source) -> bytes:
    """Return *text* as bytes with the newline style and byte-order mark of *source*."""
    body = text.replace("\n", source.newline).encode()
    return BOM + body if source.has_bom else body


def write(path: Path, content: bytes, *, mode: int | None = None) -> bool:
    """Replace *path* by *content* in one step; return whether anything changed.

    The new file is written beside the old one, flushed, and moved over it; a symbolic link keeps
    pointing where it points. Permission bits are *mode*, else those of the file replaced, else the
    user's default.

    Raises:
        WriteError: the folder or the file refuses, with the reason the system gave.
    """
    target = path.resolve()
    try:
        if target.is_file() and target.read_bytes() == content:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        _replace(target, content, mode)
    except OSError as error:
        raise WriteError(
            f"cannot write: {error.strerror or error}", "MM114", os.fspath(path)
        ) from error
    return True


def mode_of(path: Path) -> int | None:
    """Return the permission bits of *path*, or None when it does not exist."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def output_path(source: Path, output: Path | None, base: Path | None = None) -> Path:
    """Return where the migration of *source* is written.

    `<stem>_mint.py` beside the source (see `result_mark`); under the folder *output*, keeping the
    path relative to *base* (the folder that was given as input), when it is a folder; *output*
    itself when it is named like a script.

    Raises:
        UsageError: the output would replace its own source.
    """
    name = f"{source.stem}{result_mark(source)}{output_suffix(source)}"
    if output is None:
        return source.with_name(name)
    if names_a_script(output):
        if output.resolve() == source.resolve():
            raise UsageError(
                "`-o` names the source itself", path=os.fspath(output), hint="use `--in-place`"
            )
        return output
    return output / source.parent.relative_to(base or source.parent) / name


def result_mark(source: Path) -> str:
    """Return what the name of a result has behind the stem of *source*.

    `_mint`, or `_sh_mint` for a launcher beside a script, or a configuration beside a launcher, of
    the same stem.
    """
    kinds = (".py", *SHELL_SUFFIXES, ".yaml", ".yml")
    before = kinds[: kinds.index(source.suffix)] if source.suffix in kinds else ()
    is_taken = any(source.with_suffix(kind).is_file() for kind in before)
    return f"_{source.suffix[1:]}_mint" if is_taken else "_mint"


def output_suffix(source: Path) -> str:
    """Return how the result of *source* is called: a notebook stays one, all else is a script."""
    return ".ipynb" if source.suffix == ".ipynb" else ".py"


def names_a_script(output: Path) -> bool:
    """Say whether `-o OUTPUT` means one file rather than a folder."""
    return output.suffix in (".py", ".ipynb") and not output.is_dir()


def refusal(path: Path) -> Failed | None:
    """Return why *path* must not be overwritten: MM110, it is somebody's work; None when it may."""
    if not path.exists():
        return None
    found = parse(os.fspath(path), path.read_bytes()) if path.is_file() else None
    if isinstance(found, Source) and not was_edited(found.text, path.suffix):
        return None
    if isinstance(found, Skipped):
        return None
    return Failed(
        path=os.fspath(path),
        code="MM110",
        reason="the output was edited since it was written, or is not ours; it is left as it is",
        hint="`--force` overwrites it, `-o` writes elsewhere, `--diff` shows what would be written",
    )


def _decode(path: str, body: bytes) -> str | Failed:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        column = len(body[body.rfind(b"\n", 0, error.start) + 1 : error.start].decode()) + 1
        found = "UTF-16" if body.startswith(_UTF16_BOMS) else f"byte 0x{body[error.start]:02x}"
        return _failed(
            path,
            "MM102",
            f"this is not UTF-8: {found} at line {line}, column {column}",
            hint="save the file as UTF-8",
            span=Span(line=line, column=column, end_line=line, end_column=column + 1),
        )
    declared = next(iter(_ENCODING.findall(b"\n".join(body.split(b"\n", 2)[:2]))), b"utf-8")
    if declared.lower().replace(b"_", b"-") not in _UTF8_NAMES and not body.isascii():
        name = declared.decode()
        return _failed(
            path,
            "MM102",
            f"the file declares the encoding `{name}`; only UTF-8 is read",
            hint="save the file as UTF-8 and remove the declaration",
        )
    return text


def _unreadable(path: str, error: OSError) -> Failed:
    reasons = {
        FileNotFoundError: "no such file",
        IsADirectoryError: "this is a directory",
        PermissionError: "the file may not be read",
    }
    reason = reasons.get(type(error), f"the file cannot be read: {error.strerror or error}")
    return _failed(path, "MM105", reason)


def _failed(
    path: str, code: str, reason: str, *, hint: str = "", span: Span | None = None
) -> Failed:
    return Failed(path=path, code=code, reason=reason, hint=hint, span=span)


def _start_of_file() -> Span:
    return Span(line=1, column=1, end_line=1, end_column=2)


def _replace(target: Path, content: bytes, mode: int | None) -> None:
    kept = mode if mode is not None else mode_of(target)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        # mkstemp makes files for their owner only.
        os.chmod(temporary, kept if kept is not None else 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The system offers no way to read it without setting it.
    current = os.umask(0)
    os.umask(current)
    return current

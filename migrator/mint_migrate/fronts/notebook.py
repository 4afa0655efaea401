"""A notebook as cells, and a new notebook text that differs from the old one only where it must.

A cell that is left alone keeps its bytes: metadata, id, outputs, indentation and escapes. A changed
cell gets a new source and loses its outputs and its execution count. Cells are counted from 1,
those with text included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import indent

from mint_migrate.fronts.json_spans import Extent, elements, members


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a notebook. The newlines of `source` are `\\n`."""

    number: int
    kind: str
    """code | markdown | raw"""
    source: str
    extent: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """The text of a notebook with its cells."""

    text: str
    cells: tuple[Cell, ...]
    has_ids: bool
    """Cells have ids since format 4.5."""
    is_python: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCell:
    """A cell to add in front of the cell called *before*."""

    before: int
    kind: str
    source: str
    id: str


def read_notebook(text: str) -> Notebook:
    """Return the notebook in *text*.

    Raises:
        ValueError: the text is not a notebook of format 4; the message says why.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or not isinstance(data.get("cells"), list):
        raise ValueError("there is no list of cells, so this is not a notebook of format 4")
    extents = elements(text, members(text)["cells"].start)
    cells = tuple(
        Cell(
            number=number,
            kind=str(cell.get("cell_type", "")),
            source=_joined(cell.get("source", "")),
            extent=extent,
        )
        for number, (cell, extent) in enumerate(zip(data["cells"], extents, strict=True), start=1)
    )
    version = (data.get("nbformat", 4), data.get("nbformat_minor", 0))
    return Notebook(text=text, cells=cells, has_ids=version >= (4, 5), is_python=_is_python(data))


def sources(text: str) -> tuple[tuple[str, str], ...]:
    """Return (kind, source) of each cell: what a person writes, without what running it leaves.

    Raises:
        ValueError: the text is not a notebook.
    """
    return tuple((cell.kind, cell.source) for cell in read_notebook(text).cells)


def rebuild(notebook: Notebook, changed: Mapping[int, str | None], added: Sequence[NewCell]) -> str:
    """Return the text of the notebook with cells changed, removed (None) and added."""
    text = notebook.text
    if not notebook.cells:
        return text
    style = _Style.of(notebook)
    pieces: list[str] = []
    for cell in notebook.cells:
        new = [item for item in added if item.before == cell.number]
        pieces += [style.cell(item, has_id=notebook.has_ids) for item in new]
        source = changed.get(cell.number, cell.source)
        if source is not None:
            is_same = source == cell.source
            pieces.append(cell.extent.of(text) if is_same else _with_source(text, cell, source))
    head = text[: notebook.cells[0].extent.start]
    return head + style.separator.join(pieces) + text[notebook.cells[-1].extent.end :]


def replace_source(notebook: Notebook, number: int, source: str) -> str:
    """Return the text of the notebook with one cell's source replaced and nothing else."""
    cell = notebook.cells[number - 1]
    found = members(notebook.text, cell.extent.start)["source"]
    value = _as_written(found.of(notebook.text), source)
    return notebook.text[: found.start] + value + notebook.text[found.end :]


def as_script(text: str) -> str:
    """Return the cells one below the other, for people: `# %%` lines between them.

    Raises:
        ValueError: the text is not a notebook.
    """
    parts = []
    for cell in read_notebook(text).cells:
        is_code = cell.kind == "code"
        body = cell.source if is_code else indent(cell.source, "# ", lambda line: True)
        parts.append(f"# %%{'' if is_code else f' [{cell.kind}]'}\n{body}\n")
    return "\n".join(parts)


def _joined(source: object) -> str:
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_python(data: dict[str, object]) -> bool:
    """Say whether the kernel is Python; a notebook that does not say so is."""
    metadata = data.get("metadata")
    language: object = None
    if isinstance(metadata, dict):
        for section, key in (("kernelspec", "language"), ("language_info", "name")):
            part = metadata.get(section)
            language = language or (part.get(key) if isinstance(part, dict) else None)
    return language is None or str(language).lower() in {"python", "python3", "ipython"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Style:
    """How the cells of a notebook are written."""

    separator: str
    """Comma and blanks between two cells."""
    lead: str
    """Indentation of a cell; empty in a text without line breaks."""
    step: str
    is_ascii: bool

    @classmethod
    def of(cls, notebook: Notebook) -> _Style:
        text, cells = notebook.text, notebook.cells
        lead = re.search(r"\n([ \t]*)\Z", text[: cells[0].extent.start])
        first = re.match(r"\{\n([ \t]+)", cells[0].extent.of(text))
        separator = ",\n" + lead[1] if lead else ", "
        if len(cells) > 1:
            separator = text[cells[0].extent.end : cells[1].extent.start]
        step = first[1].removeprefix(lead[1]) if lead and first else ""
        return cls(
            separator=separator,
            lead=lead[1] if lead else "",
            step=step,
            is_ascii=text.isascii() and "\\u" in text,
        )

    def cell(self, new: NewCell, *, has_id: bool) -> str:
        """Return a new cell as text, keys in the order in which notebooks are saved."""
        data: dict[str, object] = {"cell_type": new.kind}
        if new.kind == "code":
            data["execution_count"] = None
        if has_id:
            data["id"] = new.id
        data["metadata"] = {}
        if new.kind == "code":
            data["outputs"] = []
        data["source"] = new.source.splitlines(keepends=True)
        if not self.step:
            return json.dumps(data, ensure_ascii=self.is_ascii)
        body = json.dumps(data, indent=self.step, ensure_ascii=self.is_ascii)
        return body.replace("\n", "\n" + self.lead)


def _with_source(text: str, cell: Cell, source: str) -> str:
    """Return a changed cell: its source, no outputs, no execution count, all else as it was."""
    found = members(text, cell.extent.start)
    values = {"source": _as_written(found["source"].of(text), source)}
    if "outputs" in found:
        values["outputs"] = "[]"
    if "execution_count" in found:
        values["execution_count"] = "null"
    return _replaced(text, cell.extent, ((found[key], values[key]) for key in values))


def _replaced(text: str, extent: Extent, values: Iterable[tuple[Extent, str]]) -> str:
    pieces: list[str] = []
    position = extent.start
    for place, value in sorted(values, key=lambda item: item[0].start):
        pieces += [text[position : place.start], value]
        position = place.end
    return "".join([*pieces, text[position : extent.end]])


def _as_written(old: str, source: str) -> str:
    """Return *source* as JSON in the manner of the value *old*: one string, or a list of lines."""
    is_ascii = old.isascii() and "\\u" in old
    if old.startswith('"'):
        return json.dumps(source, ensure_ascii=is_ascii)
    lines = [json.dumps(line, ensure_ascii=is_ascii) for line in source.splitlines(keepends=True)]
    layout = re.match(r"\[(\s*)", old)
    lead = layout[1] if layout else ""
    tail = re.search(r"(\s*)\]\Z", old)
    separator = "," + lead if lead else ", "
    return f"[{lead}{separator.join(lines)}{tail[1] if tail else ''}]" if lines else "[]"

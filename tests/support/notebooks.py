"""What a notebook uses of the source frameworks, counted apart from the program.

Lines that are not Python are blanked out, and the walker counts the module that the cells make.
"""

from __future__ import annotations

import json

from support.walker import found


def found_in_cells(text: str) -> list[tuple[int, str, int, int]]:
    """Return (cell, kind, line, column) of everything found, sorted."""
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    for number, cell in enumerate(json.loads(text)["cells"], start=1):
        if cell["cell_type"] != "code":
            continue
        for position, line in enumerate(_python("".join(cell["source"])), start=1):
            lines.append(line)
            places.append((number, position))
    items = found("\n".join(lines) + "\n")
    return sorted(
        (places[item.line - 1][0], item.kind, places[item.line - 1][1], item.column)
        for item in items
    )


def _python(source: str) -> list[str]:
    """Return the lines of a cell with those that are not Python blanked out."""
    lines = source.split("\n")
    if lines[0].startswith("%%") and not lines[0].startswith(("%%time", "%%capture")):
        return [""] * len(lines)
    result: list[str] = []
    is_continued = False
    for line in lines:
        bare = line.strip()
        is_shell = bare[:1] in {"!", "%", "?"} or bare.endswith("?") or "= !" in bare
        if is_continued:
            result.append("")
        elif is_shell or bare.startswith("from __future__"):
            result.append(line[: len(line) - len(line.lstrip())] + "pass")
        else:
            result.append(line)
        is_continued = (is_continued or is_shell) and bare.endswith("\\")
    return result

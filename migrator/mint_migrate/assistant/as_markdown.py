"""Answers as Markdown, for chats and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mint_migrate.assistant import wording
from mint_migrate.assistant.records import Answer, Entry, GuideText, Near
from mint_migrate.tables.concepts import Concept


def as_markdown(answer: Answer) -> str:
    """Return *answer* as GitHub-flavored Markdown, every entry in full."""
    if answer.guide is not None:
        blocks = _guide(answer.guide)
    elif answer.entries:
        blocks = [block for entry in answer.entries for block in _entry(entry)]
    elif answer.kind == "help":
        blocks = [wording.HELP.rstrip()]
    else:
        blocks = [wording.not_found(answer), *_near(wording.NEAREST, answer.nearest)]
    return "\n\n".join(blocks) + "\n"


def _entry(entry: Entry) -> list[str]:
    blocks = [f"## {entry.title}"]
    if entry.kind != "rule":
        blocks.append(f"**In MinT:** {entry.mint}")
    blocks += [f"**{label}:** {text}" if label else text for label, text in entry.text]
    blocks += _code("Before", entry.before, entry.language) + _code("After", entry.after, "python")
    blocks += _list("Differences", entry.differences) + _list("Pitfalls", entry.pitfalls)
    blocks += [sentence] if (sentence := wording.status_sentence(entry)) else []
    blocks += [f"**Rows:** {', '.join(f'`{row}`' for row in entry.rows)}"] if entry.rows else []
    blocks += _list("Sources", [f"<{source}>" for source in entry.sources])
    return blocks + _near("See also", entry.see)


def _guide(text: GuideText) -> list[str]:
    example = next(each for each in text.concepts if each.id == text.guide.example)
    rows = [f"| {text.guide.framework} | MinT | Today |", "| --- | --- | --- |"]
    rows += [
        f"| {_cell(wording.short_names(each))} | {_cell(each.mint)} | {each.status} |"
        for each in text.concepts
    ]
    blocks = [f"# {text.guide.title}", text.guide.summary, "\n".join(rows)]
    blocks += _code(f"Before: {example.title}", example.before, example.language)
    blocks += _code("After", example.after, "python")
    for heading, concepts in (
        ("Key differences", text.differences),
        ("Losses", text.losses),
        ("Pitfalls", text.pitfalls),
        ("Not possible on MinT", text.limits),
    ):
        blocks += _list(heading, _lines(concepts))
    sources = dict.fromkeys(each.sources[0] for each in text.concepts)
    return blocks + _list("Sources", [f"<{source}>" for source in sources])


def _lines(concepts: Iterable[Concept]) -> list[str]:
    return [f"**{each.title}** (`{each.id}`): {each.mint}" for each in concepts]


def _code(label: str, code: str, language: str) -> list[str]:
    return [f"**{label}**", f"```{language}\n{code.rstrip()}\n```"] if code else []


def _list(heading: str, items: Sequence[str]) -> list[str]:
    return [f"**{heading}**", "\n".join(f"- {item}" for item in items)] if items else []


def _near(heading: str, items: Sequence[Near]) -> list[str]:
    return _list(heading, [f"`{item.id}` {item.title}".rstrip() for item in items])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")

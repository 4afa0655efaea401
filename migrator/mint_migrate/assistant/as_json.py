"""Answers as JSON, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from mint_migrate.assistant.records import Answer, Listing

VERSION = 1


def as_json(record: Answer | Listing) -> str:
    """Return *record* as one JSON object with a version and a kind, ending with a newline."""
    content = _listing(record) if isinstance(record, Listing) else _answer(record)
    return json.dumps({"version": VERSION, **content}, indent=2, ensure_ascii=False) + "\n"


def _answer(answer: Answer) -> dict[str, Any]:
    found = asdict(answer)
    return {"kind": answer.kind, "question": answer.question} | {
        name: found[name] for name in ("entries", "guide", "nearest")
    }


def _listing(listing: Listing) -> dict[str, Any]:
    kind = "tables" if listing.groups else "rows" if listing.rows else "not_found"
    found = asdict(listing)
    for group in found["groups"]:
        group["outcomes"] = dict(group["outcomes"])
    for row in found["rows"]:
        row["defaults"] = dict(row["defaults"])
    return {"kind": kind} | found

"""Cuts questions and table texts into words that can be compared."""

from __future__ import annotations

import re
from functools import cache

STOPWORDS = frozenset(
    """
    a about actually add after all also am an and any anything are as at be because been before
    being but by can cannot change changes choose code compute computed computes conversion
    convert converting correspond corresponding could counterpart day define defined difference
    different do does doing done during easily end ends equivalent ever exactly find for formula
    from get give go got had handle handled handles happen happens has have help how i if in
    instead into is it its just let like look map mapping me migrate migrated migrating
    migration mint more most much my need needed new no not now of on one or our out people
    please port porting possible put really replace replaced replacement replaces replacing run
    running runs script scripts see set should show so some someone still support supported tell
    than that the their them then there these they thing this time to today turn up us use used
    uses using versus very vs want was way we what when where whether which while who why will
    with without work works would write year you your
    """.split()  # noqa: SIM905 - a paragraph is easier to read and to extend than a list
)
"""Words that say nothing about the subject of a question, migration itself included."""

IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_]\w*)*")
_WORD = re.compile(r"[a-z0-9][a-z0-9+]*")
_FINE_TUNING = re.compile(r"fine[- ]tun")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


def words(text: str) -> list[str]:
    """Return the stems of *text* without stopwords, in order; symbols are cut into their parts."""
    joined = _FINE_TUNING.sub(r"finetun", text.lower())
    return [stem(word) for word in _WORD.findall(joined) if word not in STOPWORDS]


def name_words(name: str) -> tuple[str, list[str]]:
    """Return a symbol's last part as one word, and the words it is made of.

    `verl.DataProto` gives `dataproto` and `data`, `proto`.
    """
    last = name.rpartition(".")[2] or name
    whole = stem(re.sub(r"[^a-z0-9]", "", last.lower()))
    parts = [stem(part.lower()) for part in _CAMEL.findall(last)]
    return whole, [part for part in parts if part not in STOPWORDS]


def identifiers(text: str) -> list[str]:
    """Return the words of *text* that can only be symbols: underscores, dots, inner capitals."""
    found = []
    for match in IDENTIFIER.findall(text):
        token = match.rstrip(".-")
        inner_capital = re.search(r"[a-z0-9][A-Z]|[A-Z]{2,}[a-z]", token)
        if "_" in token.strip("_") or re.search(r"\w\.\w", token) or inner_capital:
            found.append(token)
    return found


@cache
def stem(word: str) -> str:
    """Return *word* without the endings of plural and verb forms; crude, but the same for all."""
    if len(word) > 4:
        if word.endswith("ies"):
            word = word[:-3] + "y"
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word

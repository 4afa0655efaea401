"""Sentences that all renderings of an answer share."""

from __future__ import annotations

from mint_migrate.assistant.records import Answer, Entry
from mint_migrate.tables.concepts import Concept

HELP = """\
Ask about a source framework, a symbol, a reason code, or in your own words:

    mint-migrate ask verl                  the guide for a framework: trl, verl,
                                           openrlhf, pytorch or tinker
    mint-migrate ask DataProto             what replaces a class, option or key
    mint-migrate ask "how do I do DPO"     a question
    mint-migrate ask MM205                 a code from a report

Answers come from the mapping tables, with sources. No network and no model is
needed.
"""
NO_ANSWER = "The tables have no answer to this."
UNKNOWN_CODE = "There is no such reason code."
NEAREST = "Nearest entries"

_STATUS = {
    "converted": "converts this",
    "on_request": "converts this only with a flag, as another algorithm comes out: "
    "`--ppo critic-free`, `--reward-model generative`, `--distillation reverse-kl`",
    "planned": "does not convert this yet; the code above is to be applied by hand",
    "refused": "refuses this: MinT has no counterpart, and an algorithm is not swapped in silence",
}
_LAUNCHED = (
    "`mint-migrate run.sh` converts this in a launcher; a trainer of your own in Python is "
    "answered item by item."
)
_TRL_PLANNED = "recognizes this and leaves it for you; the code above is to be applied by hand"


def status_sentence(item: Entry | Concept) -> str:
    """Return what `mint-migrate` does with *item* today; empty where nothing is to be converted."""
    if not item.status:
        return ""
    if item.status == "converted" and item.framework in ("verl", "openrlhf"):
        return _LAUNCHED
    if item.status == "planned" and item.framework == "trl":
        return f"`mint-migrate` {_TRL_PLANNED}."
    return f"`mint-migrate` {_STATUS[item.status]}."


def not_found(answer: Answer) -> str:
    """Return the sentence for a question without an answer."""
    quoted = answer.question.strip()
    return f"{NO_ANSWER} ({quoted})" if quoted else NO_ANSWER


def short_names(concept: Concept) -> str:
    """Return the names of *concept* for a table cell: the first three, as code."""
    bare = dict.fromkeys(name.removeprefix(f"{concept.framework}.") for name in concept.names)
    return ", ".join(f"`{name}`" for name in list(bare)[:3])

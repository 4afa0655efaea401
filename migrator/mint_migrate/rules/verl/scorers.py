"""Which rules the result brings for the data sources of its rows.

The rules differ by release. Source: verl `utils/reward_score/`: `__init__.py`, `gsm8k.py`,
`math.py` (`math_reward.py` since 0.6.0) and `math_dapo.py` of 0.2, 0.3.0.post1, 0.4.0, 0.4.1,
0.5.0, 0.6.0, 0.6.1, 0.7.0, 0.8.0, 0.9.0 and 0.9.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mint_migrate.model.verl_script import Scorer
from mint_migrate.tables.versions import version_key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """A rule of verl in all releases."""

    sources: Mapping[str, str]
    """Data sources, and the release that knows each first."""
    names: str
    """Matches names of data files of such rows."""
    prefix: str = ""
    since: Mapping[str, str] | None = None
    """What is special about the rule, and the first release where it is."""
    before: Mapping[str, str] | None = None
    """The same with the first release where it is no more."""


_RULES: Final = {
    "gsm8k": _Rule(
        sources={"openai/gsm8k": "0.2"},
        names=r"gsm8k",
        before={"first_number": "0.4.1", "whole_text": "0.5.0"},
    ),
    "math": _Rule(
        sources={
            "lighteval/MATH": "0.2",
            "DigitalLearningGmbH/MATH-lighteval": "0.2",
            "HuggingFaceH4/MATH-500": "0.5.0",
        },
        names=r"(?<![a-z\d_-])math(?!\w*[_-]?dapo)(?![a-z])|math-lighteval",
        since={"percent_twice": "0.6.1"},
        before={"needs_numbers": "0.4.0"},
    ),
    "math_dapo": _Rule(
        sources={"math_dapo": "0.4.0", "math": "0.6.0", "math_dapo_reasoning": "0.6.0"},
        names=r"dapo[_-]?math|math[_-]?dapo|dapo[_-]?17k|(?<![a-z])aime(?![a-z])",
        prefix="aime",
        since={"falls_back": "0.9.1"},
    ),
}


def scorers_in(version: str) -> tuple[Scorer, ...]:
    """Return the rules that a release has and the result can bring."""
    return tuple(_scorers_in(version))


def _scorers_in(version: str) -> Iterator[Scorer]:
    key = version_key(version)
    for name, rule in _RULES.items():
        sources = tuple(item for item, first in rule.sources.items() if key >= version_key(first))
        ways = {way for way, first in (rule.since or {}).items() if key >= version_key(first)}
        ways |= {way for way, first in (rule.before or {}).items() if key < version_key(first)}
        if sources:
            yield Scorer(name=name, sources=sources, prefix=rule.prefix, ways=frozenset(ways))


def scores(scorer: Scorer, source: str) -> bool:
    """Say whether a rule scores the rows of a data source."""
    return source in scorer.sources or bool(scorer.prefix and source.startswith(scorer.prefix))


def by_sources(scorers: Iterable[Scorer], sources: Iterable[str]) -> tuple[Scorer, ...]:
    """Return the rules that score rows of some of the data sources."""
    known = tuple(sources)
    return tuple(item for item in scorers if any(scores(item, source) for source in known))


def by_file_name(scorers: Iterable[Scorer], file: str) -> tuple[Scorer, ...]:
    """Return the rules that the name of a data file hints at."""
    name = file.lower()
    return tuple(item for item in scorers if re.search(_RULES[item.name].names, name))

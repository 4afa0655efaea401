"""Which rules the result brings for the data sources of its rows.

The rules differ by release. Source: verl `utils/reward_score/`: `__init__.py`, `gsm8k.py`,
`math.py` (`math_reward.py` since 0.6.0) and `math_dapo.py` of 0.2, 0.3.0.post1, 0.4.0, 0.4.1,
0.5.0, 0.6.0, 0.6.1, 0.7.0, 0.8.0, 0.9.0 and 0.9.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mint_migrate.launches.processes import Read
from mint_migrate.model.verl_script import Scorer
from mint_migrate.rules.launched.settings import Settings
from mint_migrate.rules.verl.builders import builders_of
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


_FILE = re.compile(r"[^\s\"'\[\],{}]+\.(?:parquet|jsonl?)")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of the data sources of a launch."""

    scorers: tuple[Scorer, ...]
    """Rules that score rows of its data files."""
    left: tuple[str, ...]
    """Data sources that none of these rules scores."""
    notice: str
    """What the user is told."""


def find_evidence(settings: Settings, read: Read) -> Evidence:
    """Return the rules for the rows of a launch's data files.

    What the program that writes a file says counts, else the name of the file.
    """
    brought = tuple(_scorers_in(settings.version))
    needed: set[str] = set()
    by_builder: dict[str, str] = {}
    is_sure = True
    for file in _data_files(settings):
        builders = builders_of(file, _column(settings), settings.programs, read)
        sources = {source: item.path for item in builders for source in item.sources}
        is_sure &= bool(sources)
        by_builder |= sources
        hinted = (item for item in brought if re.search(_RULES[item.name].names, file.lower()))
        scoring = (item for item in brought if any(_scores(item, source) for source in sources))
        needed |= {item.name for item in (scoring if sources else hinted)}
    scorers = tuple(item for item in brought if item.name in needed)
    left = [item for item in by_builder if not any(_scores(rule, item) for rule in scorers)]
    return Evidence(
        scorers=scorers,
        left=tuple(left),
        notice=_notice(scorers, by_builder, is_sure=is_sure and not left),
    )


def _notice(scorers: tuple[Scorer, ...], by_builder: dict[str, str], *, is_sure: bool) -> str:
    """Return what scores which rows."""
    parts = [f"`{path}` writes the data source `{source}`" for source, path in by_builder.items()]
    if scorers:
        names = ", ".join(item.name for item in scorers)
        parts.append(f"rows of {names} are scored by the result itself")
    rest = "a row with another data source" if is_sure else "other data sources"
    verb = "is" if is_sure else "are"
    parts.append(
        f"{rest} {verb} scored by `verl.utils.reward_score`, for which verl has to be installed"
    )
    return "; ".join(parts)


def _scorers_in(version: str) -> Iterator[Scorer]:
    """Yield the rules that a release has and the result can bring."""
    key = version_key(version)
    for name, rule in _RULES.items():
        sources = tuple(item for item, first in rule.sources.items() if key >= version_key(first))
        ways = {way for way, first in (rule.since or {}).items() if key >= version_key(first)}
        ways |= {way for way, first in (rule.before or {}).items() if key < version_key(first)}
        if sources:
            yield Scorer(name=name, sources=sources, prefix=rule.prefix, ways=frozenset(ways))


def _data_files(settings: Settings) -> list[str]:
    """Return the data files, as far as their paths are known; any text where no file is named."""
    texts = [settings.value(f"data.{key}").text for key in ("train_files", "val_files")]
    return [file for text in texts for file in (_FILE.findall(text) or [text])]


def _column(settings: Settings) -> str:
    """Return the column of the rows that holds the data source."""
    name = settings.value("data.reward_fn_key").data
    return name if isinstance(name, str) and name else "data_source"


def _scores(scorer: Scorer, source: str) -> bool:
    """Say whether a rule scores the rows of a data source."""
    return source in scorer.sources or bool(scorer.prefix and source.startswith(scorer.prefix))

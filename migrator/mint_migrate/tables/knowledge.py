"""Reads what the compiled index holds besides rows: reason codes, facts, the client, answers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.concepts import Concept, Guide, build_concept
from mint_migrate.tables.records import Fact, Signature
from mint_migrate.tables.rows import RuleDoc
from mint_migrate.tables.versions import version_key


class Knowledge:
    """The parsed index but for its rows; codes of a package may stand in an index of its own."""

    def __init__(self, index: dict[str, Any]) -> None:
        """Take the parsed index."""
        self._index = index
        self._rules: dict[str, list[Any]] = dict(index.get("rules", {}))

    def _open_all(self) -> None:
        """Read the indexes of single packages that have not been read."""

    def rule(self, code: str) -> RuleDoc:
        """Return the page of a reason code.

        Raises:
            KeyError: there is no such code; the message names the nearest ones.
        """
        if code not in self._rules:
            self._open_all()
        values = self._rules.get(code)
        if values is None:
            raise KeyError(f"no reason code `{code}`; there are {', '.join(self.codes)}")
        title, finds, writes, fidelity, lost, before, after, source, way_out = values
        return RuleDoc(
            code=code,
            title=title,
            finds=finds,
            writes=writes,
            fidelity=Fidelity(fidelity),
            lost=lost,
            before=before,
            after=after,
            source=source,
            way_out=way_out,
        )

    @property
    def codes(self) -> tuple[str, ...]:
        """Return all reason codes, in order."""
        self._open_all()
        return tuple(sorted(self._rules, key=lambda code: (len(code), code)))

    def fact(self, name: str, version: str) -> Fact:
        """Return what holds in *version*, a release of the fact's own package.

        Raises:
            KeyError: there is no fact of that name.
        """
        for value, since, until, note, source in self._index["facts"][name]:
            after_start = since is None or version_key(since) <= version_key(version)
            if after_start and (until is None or version_key(version) < version_key(until)):
                return Fact(
                    name=name, value=value, since=since, until=until, note=note, source=source
                )
        raise AssertionError(f"{name} has a gap at {version}: the schema forbids it")

    @cached_property
    def target(self) -> dict[str, Signature]:
        """Return the calls of the `mint` client that emitted scripts may make, by name."""
        return {
            name: Signature(
                id=name,
                kind=kind,
                parameters=tuple((parameter, default) for parameter, default in parameters),
                returns=returns,
                note=note,
            )
            for name, (kind, parameters, returns, note) in self._index["target"].items()
        }

    @property
    def target_release(self) -> str:
        """Return the release of the client whose signatures `target` holds."""
        release: str = self._index["target_release"]
        return release

    @cached_property
    def concepts(self) -> dict[str, Concept]:
        """Return what the answers tell beyond the rows, by id, in the order of the table."""
        entries: dict[str, list[Any]] = self._index["concepts"]
        return {name: build_concept(name, values) for name, values in entries.items()}

    @property
    def guides(self) -> dict[str, Guide]:
        """Return the openings of the frameworks' guides, by framework."""
        return {
            name: Guide(framework=name, title=title, summary=summary, example=example)
            for name, (title, summary, example) in self._index["guides"].items()
        }

    @property
    def synonyms(self) -> dict[str, str]:
        """Return words of questions with the words to look for in their place."""
        words: dict[str, str] = self._index["synonyms"]
        return words

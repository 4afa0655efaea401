"""The options of one launch: what is given, what the release's default is, what becomes of each.

A rule asks for the value of an option and says where it went. What no rule has decided is decided
by its row; what has no row is for a person.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mint_migrate.launches.given import Given, literal
from mint_migrate.launches.places import place_words
from mint_migrate.launches.processes import found_of
from mint_migrate.launches.values import Environment, python_value
from mint_migrate.model.launched_script import Field
from mint_migrate.model.plan import Decision, Fidelity
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.interpolation import has_reference, references, resolve
from mint_migrate.shell.words import Part, PartKind
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

NOT_FOLLOWED: Final = "MM293"
"""Reason code of an option that a rule should have looked at."""


class Unknown:
    """A value that only the shell knows."""

    def __repr__(self) -> str:
        """Return a word for messages."""
        return "known when the launcher runs"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The value of one option."""

    key: str
    given: Given | None
    """None where the release's default counts."""
    text: str
    """The value as a Python expression."""
    data: Any
    """The value itself, or `UNKNOWN`."""

    @property
    def is_known(self) -> bool:
        """Say whether the text of the launcher shows the value."""
        return self.data is not UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Where the options of an entry point stand in the tables."""

    framework: str
    """verl | openrlhf"""
    entry: str
    rows: str
    """Prefix of the rows: `verl.config`."""
    unknown: str
    """Reason code of an option that no recorded release has."""


@dataclass(slots=True)
class Settings:
    """The options of one launch and the decisions about them."""

    owner: Owner
    version: str
    tables: Tables
    given: dict[str, Given]
    """By key; of several for one key the one that counts."""
    environment: Environment
    num_processes: int | None = None
    """Processes that the launcher starts, None where it does not say."""
    critic_free: bool = False
    """The user chooses an estimator without a critic where the original trains one."""
    headless: bool = False
    """The user chooses a reward model without the head that the original trains."""
    overridden: tuple[Given, ...] = ()
    """Options that a later one replaces."""
    candidates: Callable[[str], tuple[str, ...]] = lambda name: ()
    """Returns the texts that the launcher gives a variable somewhere."""
    programs: tuple[str, ...] = ()
    """Python files that the launcher names."""
    chosen: dict[str, Setting] = field(default_factory=dict)
    """Options that shape the script and vary: the first of their values."""
    fields: dict[str, Field] = field(default_factory=dict)
    decided: dict[int, Decision] = field(default_factory=dict)
    """By identity of the option."""
    summary: list[str] = field(default_factory=list)
    """Sentences for the docstring of the result."""
    notices: list[str] = field(default_factory=list)

    def row(self, key: str) -> Row | None:
        """Return the row of an option: of this release, else of any."""
        name = f"{self.owner.rows}.{key}"
        return self.tables.row(name, self.version) or self.tables.row(name)

    def _default(self, key: str) -> str | None:
        """Return the release's default of an option, which may have another name there."""
        row = self.row(key)
        if row is not None and (default := row.default_in(self.version)) is not None:
            return default
        if self.owner.framework != "openrlhf":
            return None
        later = self.tables.renamed_flags(self.owner.entry).get(key, key)
        row = self.tables.row(f"{self.owner.rows}.{later}", self.version)
        return row.default_in(self.version) if row is not None else None

    def value(self, key: str) -> Setting:
        """Return the value of an option: what is given, else the release's default, else None."""
        if key in self.chosen:
            return self.chosen[key]
        default = self._default(key)
        given = self.given.get(key)
        if given is None:
            data = ast.literal_eval(default) if default is not None else None
            if isinstance(data, str) and has_reference(data):
                return self._referred(key, data)
            text = literal(data) if isinstance(data, str) or default is None else default
            return Setting(key=key, given=None, text=text, data=data)
        found = _setting(key, given, python_value(given, default, self.environment))
        return (
            replace(self._referred(key, found.data), given=given)
            if has_reference(found.data)
            else found
        )

    def _referred(self, key: str, text: str) -> Setting:
        """Return an option whose value refers to others."""
        targets = [self.value(name) for name in references(text)]
        unknown = next((item for item in targets if not item.is_known), None)
        if unknown is not None:
            return Setting(key=key, given=None, text=unknown.text, data=UNKNOWN)
        data = resolve(text, lambda name: self.value(name).data)
        return Setting(key=key, given=None, text=literal(data), data=data)

    def known(self, key: str) -> Any:
        """Return the value of an option that shapes the script.

        Of one that the launcher chooses among known values, the first counts, and that is said.

        Raises:
            Blocked: only the shell knows it.
        """
        setting = self.value(key)
        if not setting.is_known and setting.given is not None:
            setting = self._first_of(key, setting.given) or setting
        if not setting.is_known:
            raise Blocked(
                "MM311",
                f"`{key}` decides what the script does, and only the shell knows it "
                f"(`{setting.given.source_text if setting.given else key}`); write its value out",
            )
        return setting.data

    def _first_of(self, key: str, given: Given) -> Setting | None:
        """Return an option with the first value of its variable, None where none is known."""
        parts = given.words[0].parts if len(given.words) == 1 else ()
        if len(parts) != 1 or parts[0].kind is not PartKind.VARIABLE:
            return None
        texts = list(dict.fromkeys(self.candidates(parts[0].text)))
        if parts[0].default is not None and parts[0].default not in texts:
            texts.insert(0, parts[0].default)
        if not texts:
            return None
        default = self._default(key)
        static = replace(given.words[0], parts=(Part(kind=PartKind.TEXT, text=texts[0]),))
        text = python_value(replace(given, words=(static,)), default, self.environment)
        setting = self.chosen[key] = _setting(key, given, text)
        others = f"; {', '.join(texts[1:])} would be other scripts" if len(texts) > 1 else ""
        self.differ(key, "MM311", f"`{key}` varies, and the result is for `{texts[0]}`{others}")
        return setting

    def is_given(self, key: str) -> bool:
        """Say whether the launch itself sets an option."""
        return key in self.given

    def first(self, *keys: str) -> str:
        """Return the first of several names of one option: a given one, else one of the release."""
        for key in keys:
            if key in self.given:
                return key
        recorded = (key for key in keys if self._is_recorded(key))
        return next(recorded, keys[0])

    def _is_recorded(self, key: str) -> bool:
        return self.tables.row(f"{self.owner.rows}.{key}", self.version) is not None

    def use(self, key: str, name: str = "", *, kind: str = "", comment: str = "") -> str:
        """Make an option a field of the configuration; return the expression that reads it.

        Args:
            key: the option.
            name: of the field; left out: the last part of the key.
            kind: annotation of the field; left out: the type of the value.
            comment: what the reader of the result should know of it.
        """
        name = name or key.rpartition(".")[2]
        setting = self.value(key)
        self.add_field(name, setting.text, kind or _kind(setting, self.row(key)), comment)
        self.exact(key, f"config.{name}")
        return f"config.{name}"

    def add_field(self, name: str, default: str, kind: str, comment: str = "") -> str:
        """Add a field to the configuration of the result; return the expression that reads it."""
        self.fields[name] = Field(name=name, kind=kind, default=default, comment=comment)
        return f"config.{name}"

    def exact(self, key: str, target: str, note: str = "") -> None:
        """Say where an option went, unchanged in effect. No effect where it is not given."""
        self.decide(key, Fidelity.EXACT, None, target, note)

    def decide(
        self, key: str, fidelity: Fidelity, code: str | None, target: str = "", note: str = ""
    ) -> None:
        """Decide an option. No effect where it is not given; the last decision counts."""
        given = self.given.get(key)
        if given is None:
            return
        earlier = self.decided.get(id(given))
        if key in self.chosen and fidelity is Fidelity.EXACT and earlier is not None:
            self.decided[id(given)] = replace(earlier, target=target)
            return
        row = self.row(key)
        self.decided[id(given)] = Decision(
            found=found_of(given, self.name_of(given)),
            fidelity=fidelity,
            row=row.id if row is not None else None,
            code=None if fidelity is Fidelity.EXACT else code,
            target=target,
            note=note,
        )

    def drop(self, key: str, code: str, note: str) -> None:
        """Say why an option has no counterpart and is not missed."""
        self.decide(key, Fidelity.DROPPED, code, "nothing", note)

    def manual(self, key: str, code: str, note: str) -> None:
        """Leave an option to a person."""
        self.decide(key, Fidelity.MANUAL, code, "", note)

    def differ(self, key: str, code: str, sentence: str, target: str = "") -> None:
        """Say what the result does differently because of an option, given or not."""
        self.decide(key, Fidelity.APPROXIMATE, code, target, sentence)
        given = self.given.get(key)
        place = f"{place_words(given.span, given.path)}, " if given is not None else ""
        if given is None:
            self.notices.append(f"{code}: {sentence}")
        line = f"{place}{code}: {sentence}"
        if line not in self.summary:
            self.summary.append(line)

    def by_row(self, *keys: str) -> None:
        """Decide options as their rows say, unless that is done.

        A row can say where an option goes, and only a rule can take it there: what a rule should
        have carried and did not is for a person.
        """
        for key in keys:
            given = self.given.get(key)
            if given is not None and id(given) not in self.decided:
                self._by_row(key, given)

    def finish(self) -> tuple[Decision, ...]:
        """Decide what is left; return all decisions in the order of the launch."""
        self.by_row(*self.given)
        for given in self.overridden:
            counts = self.given[given.name]
            self.decided[id(given)] = Decision(
                found=found_of(given, self.name_of(given)),
                fidelity=Fidelity.EXACT,
                target="nothing",
                note=f"another value is given on {place_words(counts.span, counts.path)}",
            )
        everything = sorted(
            [*self.given.values(), *self.overridden], key=lambda item: (item.path, item.span)
        )
        return tuple(self.decided[id(item)] for item in everything)

    def name_of(self, given: Given) -> str:
        """Return the qualified name under which reports show an option."""
        return f"{self.owner.rows}.{given.name}"

    def _by_row(self, key: str, given: Given) -> None:
        row = self.row(key)
        if row is None:
            releases = self.tables.releases(self.owner.framework)
            known = f"{releases[0]} to {releases[-1]}" if releases else "recorded"
            self.manual(
                key,
                self.owner.unknown,
                f"no release from {known} has this option; see what your copy does with it",
            )
            return
        setting = self.value(key)
        if setting.is_known and literal(setting.data).replace('"', "'") in _neutral(row):
            self.exact(key, row.to or "nothing to do", "has no effect with this value")
            return
        if row.fidelity is Fidelity.EXACT and row.transform != "drop":
            self.manual(key, NOT_FOLLOWED, f"nothing in the script follows this option. {row.note}")
            return
        self.decide(key, row.fidelity, row.code, row.to, row.note)


def _setting(key: str, given: Given, text: str) -> Setting:
    """Return an option that is given, with its value where the text shows it."""
    try:
        return Setting(key=key, given=given, text=text, data=ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return Setting(key=key, given=given, text=text, data=UNKNOWN)


def _neutral(row: Row) -> frozenset[str]:
    return frozenset(item.replace('"', "'") for item in row.neutral)


def _kind(setting: Setting, row: Row | None) -> str:
    """Return the annotation of a field: the type of its value, or of the option's default."""
    values: Iterable[Any] = [setting.data]
    if row is not None:
        values = [*values, *(ast.literal_eval(text) for _, text in reversed(row.defaults))]
    for value in values:
        if isinstance(value, bool | int | float | str):
            return type(value).__name__
        if isinstance(value, list):
            return "list"
    return "str"

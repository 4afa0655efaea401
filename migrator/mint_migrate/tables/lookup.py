"""Reads the compiled index: what becomes of a name, in which release, and for which reason.

Only `json` is needed, and records are built when they are asked for: a command pays for the rows it
uses, and rows of some packages stand in files of their own. The YAML behind the index is read by
`tables.load`, at build time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mint_migrate.model.plan import Fidelity
from mint_migrate.resources import data_dir
from mint_migrate.tables.knowledge import Knowledge
from mint_migrate.tables.options import Options, Reader, owner_of, read_part
from mint_migrate.tables.records import Fact
from mint_migrate.tables.rows import Row
from mint_migrate.tables.surface import Surface
from mint_migrate.tables.versions import version_key

TRAINING_ARGUMENTS = "transformers.TrainingArguments"
SHARED_METHODS = "trl.SFTTrainer"
"""Class under which the rows of what all trainers inherit from that of transformers stand."""


def load_tables() -> Tables:
    """Read the index.

    Raises:
        FileNotFoundError: there is no index; a checkout makes it with `tables.compile`.
    """
    path = data_dir("mappings") / "index.json"
    return Tables(json.loads(path.read_bytes()))


class Tables(Knowledge):
    """The mapping tables. Names are qualified; a release left out means the newest one."""

    def __init__(self, index: dict[str, Any], read_part: Reader = read_part) -> None:
        """Take the parsed index and what reads those of single packages."""
        super().__init__(index)
        self._read_part = read_part
        self._unread: set[str] = set(index.get("parts", ()))
        self._rows: dict[str, list[list[Any]]] = dict(index["rows"])
        self._links: dict[str, list[str]] = {"": index.get("links", [])}
        self._aliases: dict[str, str] = index["aliases"]
        self._roots: frozenset[str] = frozenset(index["roots"])
        # A plan asks for the same releases and the same classes hundreds of times.
        self._transformers: dict[str, str] = {}
        self._known: dict[tuple[str, str | None], Row | None] = {}
        self._accepted: dict[tuple[str, str], frozenset[str]] = {}
        self._surface = Surface(index)
        self._options = Options(self._surface)

    def _open(self, name: str) -> None:
        """Read the index of the package that *name* is of, where that has one of its own."""
        package = name.partition(".")[0]
        if package in self._unread:
            self._unread.discard(package)
            part = self._read_part(package)
            self._rows |= part["rows"]
            self._links[package] = part.get("links", [])
            self._rules |= part.get("rules", {})
            self._options.add(package, part)

    def _open_all(self) -> None:
        for package in sorted(self._unread):
            self._open(package)

    def canonical(self, name: str) -> str:
        """Return the public name of *name*, itself where no other is known.

        `trl.trainer.sft_trainer.SFTTrainer.train` is `trl.SFTTrainer.train`.
        """
        self._open(name)
        head = name
        while head:
            if head in self._aliases:
                return self._aliases[head] + name[len(head) :]
            head = head.rpartition(".")[0]
        if name in self._rows:
            return name
        root, *parts = name.split(".")
        if root in self._roots:
            for position in range(1, len(parts)):
                if f"{root}.{parts[position]}" in self._rows:
                    return ".".join([root, *parts[position:]])
        return name

    def row(self, name: str, version: str | None = None) -> Row | None:
        """Return the row of *name* in *version*: its own, its public name's, or a wildcard's.

        None where the name is not in the tables, or not in that release. Without a release, the
        newest row. A wildcard `.*` over recorded options holds for recorded ones only, `.**` for
        every name. Releases and defaults of a recorded option are those of the records.
        """
        key = (name, version)
        if key not in self._known:
            found = self._found(name)
            self._known[key] = None if found is None else self._pick(found, name, version)
        return self._known[key]

    def _found(self, name: str) -> str | None:
        """Return the id of the rows that *name* has."""
        for candidate in self._candidates(name):
            if candidate in self._rows and self._covers(candidate, name):
                return candidate
        return None

    def _covers(self, candidate: str, name: str) -> bool:
        is_closed = (
            candidate != name and candidate.endswith(".*") and self._options.split(name) is not None
        )
        return not is_closed or self._options.is_recorded(name)

    def config_row(
        self, owner: str, field: str, version: str | None = None, transformers: str | None = None
    ) -> Row | None:
        """Return the row of a field or constructor argument: its own, else an inherited one.

        Args:
            owner: the class, such as `trl.SFTConfig`.
            field: the field's name.
            version: release of the class's package.
            transformers: release of transformers; where it is not known, one of the time of
                *version*, and a field that release lacks is answered from another release.
        """
        own = self.row(f"{owner}.{field}", version)
        if own is not None or self._surface.is_closed(owner, version):
            return own
        for base in self.bases_in(owner, version):
            if base == TRAINING_ARGUMENTS:
                found = self._training_argument(field, version, transformers)
            else:
                found = self.config_row(base, field, version, transformers)
            if found is not None:
                return found
        return None

    def _training_argument(
        self, field: str, version: str | None, transformers: str | None
    ) -> Row | None:
        name = f"{TRAINING_ARGUMENTS}.{field}"
        if transformers is not None:
            return self.row(name, transformers)
        found = self.row(name, self.transformers_of(version) if version else None)
        return found if found is not None else self.row(name)

    def flag_row(self, command: str, flag: str, version: str | None = None) -> Row | None:
        """Return the row of an option of TRL's command line, such as `--beta` of `trl dpo`.

        Every field of the classes behind the command is an option. Dashes and underscores are the
        same, and `--no_x` is the option `x` where there is no other.

        Args:
            command: `sft`, `dpo`, `grpo` and so on.
            flag: the option with or without its leading dashes.
            version: release of TRL.
        """
        name = flag.lstrip("-").partition("=")[0].replace("-", "_")
        names = [name, name.removeprefix("no_")] if name.startswith("no_") else [name]
        owners = self._index["commands"].get(command, ())
        found = (self.config_row(owner, each, version) for each in names for owner in owners)
        return next((row for row in found if row is not None), None)

    @property
    def commands(self) -> dict[str, list[str]]:
        """Return the commands of TRL's command line with the classes whose fields they take."""
        commands: dict[str, list[str]] = self._index["commands"]
        return commands

    def attribute_row(self, owner: str, name: str, version: str | None = None) -> Row | None:
        """Return the row of an attribute or method of a trainer: its own, else an inherited one.

        Attributes that are also arguments of the constructor have a row of their own, under
        `trainer.`.
        """
        found = self.row(f"trainer.{name}", version) or self.row(f"{owner}.{name}", version)
        if found is not None:
            return found
        for base in self.bases_in(owner, version):
            found = self.attribute_row(base, name, version)
            if found is not None:
                return found
            is_shared = not self._surface.has(SHARED_METHODS, name)
            if base == "transformers.Trainer" and is_shared:
                return self.row(f"{SHARED_METHODS}.{name}", version)
        return None

    def bases_in(self, owner: str, version: str | None = None) -> tuple[str, ...]:
        """Return the recorded bases of a class; without a release, of the newest that has it."""
        return self._surface.bases(owner, version)

    def rows_of(self, name: str) -> list[Row]:
        """Return the rows that answer for *name*, of every release, as `row` would."""
        self._open(name)
        found = self._found(name)
        if found is None:
            return []
        rows = [self._build_row(found, entry) for entry in self._rows[found]]
        return [self._options.fitted(row, name) for row in rows]

    def rows_for(self, prefix: str) -> Iterator[Row]:
        """Yield every row whose id is *prefix* or stands below it, of every release."""
        self._open(prefix)
        for name, entries in self._rows.items():
            if name == prefix or name.startswith(f"{prefix}."):
                for entry in entries:
                    yield self._options.fitted(self._build_row(name, entry), name)

    def __iter__(self) -> Iterator[Row]:
        """Yield every row, as the tables state it."""
        self._open_all()
        for name, entries in self._rows.items():
            for entry in entries:
                yield self._build_row(name, entry)

    def __contains__(self, name: str) -> bool:
        """Say whether *name* has a row in any release."""
        return self._found(name) is not None

    @property
    def versions(self) -> tuple[str, ...]:
        """Return the recorded releases of TRL, oldest first."""
        return self.releases("trl")

    def options_named(self, text: str) -> list[str]:
        """Return the qualified names of the options that *text* names on a command line.

        `+data.seed=1` and `--eps_clip` name one in full, of each entry point that has it; without
        such a one, one that a family's row answers for; else those whose last parts are *text*.
        """
        self._open_all()
        wanted = text.strip().lstrip("+~-").partition("=")[0]
        places = (f"{owner}.{wanted}" for owner in self._options.owners)
        found = self._options.named(wanted) or [name for name in places if name in self]
        return found or self._options.ending(wanted)

    def is_option(self, name: str) -> bool:
        """Say whether a qualified name is an option of an entry point that some row answers for."""
        self._open(name)
        return self._options.split(name) is not None and name in self

    def owner(self, name: str) -> str:
        """Return the class or the entry point that a qualified name is of; empty for neither."""
        self._open(name)
        parts = self._options.split(name)
        return parts[0] if parts is not None else name.rpartition(".")[0]

    @property
    def option_names(self) -> Iterator[str]:
        """Return the qualified names of all recorded options."""
        self._open_all()
        return self._options.names()

    def config_keys(self, package: str, entry: str, version: str) -> frozenset[str]:
        """Return every recorded option of an entry point in the recorded release nearest *version*.

        Args:
            package: verl | openrlhf.
            entry: such as `main_ppo`, `sft_trainer`, `train_ppo_ray`.
            version: release of the package.
        """
        self._open(package)
        owner = owner_of(package, entry)
        return self._surface.names(owner, version) if owner in self._surface else frozenset()

    def default_in_file(self, name: str, label: str, version: str) -> str | None:
        """Return the default of an option where another file of its entry point sets another one.

        Args:
            name: qualified, such as `verl.config.actor_rollout_ref.actor.strategy`.
            label: the file, such as `ppo_megatron_trainer`.
            version: release of the package.
        """
        self._open(name)
        return self._options.variant(name, label, version)

    def renamed_flags(self, cli: str) -> dict[str, str]:
        """Return by flag of OpenRLHF's *cli* the name it has since 0.10.2, without dashes."""
        self._open("openrlhf")
        return self._options.renamed(owner_of("openrlhf", cli))

    def releases(self, package: str) -> tuple[str, ...]:
        """Return the recorded releases of a package, oldest first."""
        return self._surface.releases(package)

    def nearest_release(self, package: str, version: str) -> str:
        """Return the newest recorded release that is not after *version*, else the oldest one."""
        return self._surface.nearest(package, version)

    def transformers_of(self, version: str) -> str:
        """Return a release of transformers that was current when TRL *version* appeared."""
        found = self._transformers.get(version)
        if found is None:
            value = self.fact("transformers_of_the_time", version).value
            assert isinstance(value, str), "the compiled index holds release numbers as text"
            found = self._transformers[version] = value
        return found

    def names_in(self, version: str, owner: str) -> frozenset[str]:
        """Return what the constructor of *owner* takes in the recorded release nearest *version*.

        Those that a class of TRL inherits from another one of TRL are among them; those it inherits
        from transformers are under `transformers.TrainingArguments`.
        """
        return self._surface.names(owner, version)

    def accepted(self, version: str, owner: str) -> frozenset[str]:
        """Return every keyword that *owner* takes in a release of TRL, inherited ones included.

        Of a class of transformers, what it takes in a release of the time. Empty where the release
        of TRL lacks the class.
        """
        key = (version, owner)
        if key not in self._accepted:
            self._accepted[key] = self._find_accepted(version, owner)
        return self._accepted[key]

    def _find_accepted(self, version: str, owner: str) -> frozenset[str]:
        if owner.startswith("transformers."):
            return self.names_in(self.transformers_of(version), owner)
        if not self._surface.has_in(owner, version):
            return frozenset()
        own = self.names_in(version, owner)
        if self._surface.is_closed(owner, version):
            return own
        return own.union(*(self.accepted(version, base) for base in self.bases_in(owner, version)))

    def is_recorded(self, owner: str) -> bool:
        """Say whether the names that a class of TRL takes are recorded, release by release."""
        return owner.startswith("trl.") and owner in self._surface

    def facts(self, version: str, transformers: str | None = None) -> dict[str, Fact]:
        """Return every fact of TRL and transformers by name, for TRL *version*.

        Args:
            version: release of TRL.
            transformers: release of transformers; where it is not known, one of the time of
                *version*.
        """
        other = transformers or self.transformers_of(version)
        return {
            name: self.fact(name, version if package == "trl" else other)
            for name, package in self._index["fact_packages"].items()
            if package in {"trl", "transformers"}
        }

    def _candidates(self, name: str) -> Iterator[str]:
        canonical = self.canonical(name)
        yield name
        yield canonical
        yield from self._options.other_names(name)
        head = canonical.rpartition(".")[0]
        while head:
            yield f"{head}.*"
            yield f"{head}.**"
            head = head.rpartition(".")[0]

    def _pick(self, found: str, name: str, version: str | None) -> Row | None:
        rows = [self._build_row(found, entry) for entry in self._rows[found]]
        rows = [self._options.fitted(row, name) for row in rows]
        if version is None:
            return max(rows, key=lambda row: version_key(row.since) if row.since else (0,))
        holding = (row for row in rows if row.exists_in(version))
        return next((row for row in holding if not self._options.lacks(row, name, version)), None)

    def _build_row(self, name: str, values: list[Any]) -> Row:
        since, until, defaults, to, fidelity, code, transform, *rest = values
        neutral, unit, note, pitfall, source = rest
        number, mark, place = source.partition("#")
        if number.isdigit():
            package = name.partition(".")[0]
            links = self._links.get(package, self._links[""])
            source = f"{links[int(number)]}{mark}{place}"
        return Row(
            id=name,
            since=since,
            until=until,
            defaults=tuple((release, literal) for release, literal in defaults),
            to=to,
            fidelity=Fidelity(fidelity),
            code=code,
            transform=transform,
            neutral=tuple(neutral),
            unit=unit,
            note=note,
            pitfall=pitfall,
            source=source,
        )

"""What a launcher's own options become, and how many processes it starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mint_migrate.launches.given import ConfigError, Given, read_yaml
from mint_migrate.launches.options import launcher_row
from mint_migrate.model.plan import Decision, Fidelity, Found
from mint_migrate.tables.lookup import Tables
from mint_migrate.tables.rows import Row

Read = Callable[[str], str | None]
"""Returns the text of a file that a command names, None where it is not there."""
_BROUGHT = {"single_gpu": 1} | dict.fromkeys(
    ("fsdp1", "fsdp2", "multi_gpu", "zero1", "zero2", "zero3"), 8
)
"""Configurations that come with TRL, and the number of processes each starts."""
_COUNTS = frozenset(
    {"num_processes", "nproc_per_node", "nnodes", "num_gpus", "num_accelerators", "num_nodes"}
)


def found_of(given: Given, name: str) -> Found:
    """Return *given* as an item of the report."""
    return Found(
        kind=given.kind,
        name=name,
        span=given.span,
        source_text=given.source_text,
        path=given.path,
    )


@dataclass(slots=True)
class Launcher:
    """Decides about the options of one launch and counts its processes."""

    tables: Tables
    read: Read
    decisions: list[Decision] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    _counts: dict[str, int | None] = field(default_factory=dict)
    """Numbers by option; None for one that the text does not show."""
    _in_files: dict[str, int | None] = field(default_factory=dict)
    """The same of configuration files, which count where no option says it."""

    @property
    def num_processes(self) -> int | None:
        """Return the number of processes, None where nothing says it."""
        counts = self._in_files | self._counts
        if "num_processes" in counts:
            return counts["num_processes"]
        for each, groups in (("nproc_per_node", "nnodes"), ("num_gpus", "num_nodes")):
            number, factor = counts.get(each), counts.get(groups, 1)
            if number is not None and factor is not None:
                return number * factor
        return None

    def decide(self, launcher: str, flags: Sequence[Given]) -> None:
        """Decide the options of a launcher: accelerate, torchrun or deepspeed."""
        for flag in flags:
            name = launcher_row(launcher, flag.name)
            if flag.name in {"config_file", "accelerate_config"}:
                self._config_file(flag, name)
            elif flag.name == "deepspeed_config_file":
                self.deepspeed_file(flag, name)
            else:
                self._option(flag, name, self._counts)

    def deepspeed_file(self, given: Given, name: str, *, decides_itself: bool = True) -> None:
        """Decide the keys of the DeepSpeed configuration that *given* names."""
        path = given.text
        text = self.read(path) if path is not None else None
        keys = self._keys(given, name, text, path or "", decides_itself=decides_itself)
        for key in keys:
            self._option(key, f"deepspeed.config.{key.name}", self._in_files)

    def _config_file(self, given: Given, name: str) -> None:
        path = given.text or ""
        text = self.read(path)
        if text is None and path in _BROUGHT:
            self._in_files["num_processes"] = _BROUGHT[path]
            self._by_row(given, name, self.tables.row(name))
            return
        for key in self._keys(given, name, text, path):
            if key.name.endswith("deepspeed_config_file"):
                self.deepspeed_file(key, f"accelerate.launch.{key.name}")
            else:
                self._option(key, f"accelerate.launch.{key.name}", self._in_files)

    def _keys(
        self, given: Given, name: str, text: str | None, path: str, *, decides_itself: bool = True
    ) -> list[Given]:
        """Return the keys of a file, and decide the option that names it."""
        problem = f"`{path}` is not here, so nothing in it is counted"
        keys: list[Given] = []
        if text is not None:
            try:
                keys = read_yaml(text, path, nested=True)
            except ConfigError as error:
                problem, text = f"`{path}` cannot be read: {error}", None
        if text is None:
            self._put(given, name, Fidelity.MANUAL, None, "MM122", problem)
        elif decides_itself:
            self._by_row(given, name, self.tables.row(name))
        return keys

    def _option(self, given: Given, name: str, counts: dict[str, int | None]) -> None:
        row = self.tables.row(name)
        if row is None:
            note = f"no recorded release has an option `{given.name}` here"
            self._put(given, name, Fidelity.MANUAL, None, "MM290", note)
        elif given.name in _COUNTS or given.name in {"include", "i"}:
            self._count(given, name, row, counts)
        else:
            self._by_row(given, name, row)

    def _count(self, given: Given, name: str, row: Row, counts: dict[str, int | None]) -> None:
        """Note a number of processes; a person has to give one that the text does not show."""
        number = _number(given)
        other = {"num_accelerators": "num_gpus", "include": "num_gpus", "i": "num_gpus"}
        counts[other.get(given.name, given.name)] = number
        if number is not None:
            self._by_row(given, name, row)
            return
        note = f"`{given.source_text}` is not a number; give it with `--num-processes`"
        self._put(given, name, Fidelity.MANUAL, row, "MM223", note)

    def _by_row(self, given: Given, name: str, row: Row | None) -> None:
        assert row is not None, f"{name} has a row"
        is_neutral = row.neutral and repr(given.text) in row.neutral
        if is_neutral or row.fidelity is Fidelity.EXACT:
            self._put(given, name, Fidelity.EXACT, row, None, row.note if not is_neutral else "")
        else:
            self._put(given, name, row.fidelity, row, row.code, row.note)

    def _put(
        self,
        given: Given,
        name: str,
        fidelity: Fidelity,
        row: Row | None,
        code: str | None,
        note: str,
    ) -> None:
        self.decisions.append(
            Decision(
                found=found_of(given, name),
                fidelity=fidelity,
                row=row.id if row is not None else None,
                code=code,
                target=row.to if row is not None and fidelity is not Fidelity.MANUAL else "",
                note=note,
            )
        )


def _number(given: Given) -> int | None:
    text = given.text or ""
    if given.name in {"include", "i"}:
        # `host:0,1@other:0,1`: the devices of each host; a host alone means all it has.
        hosts = [host.partition(":")[2] for host in text.split("@")]
        return sum(len(host.split(",")) for host in hosts) if all(hosts) else None
    return int(text) if re.fullmatch(r"\d+", text) else None

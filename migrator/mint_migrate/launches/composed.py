"""Composes the configuration of a launch as Hydra does: the files it names, then its overrides.

Files of the user's tree are read, those of the framework are known from the tables. Source: hydra
1.3, "defaults list": what a file says counts over its defaults, unless `_self_` stands before them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mint_migrate.launches.given import ConfigError, Given, read_yaml
from mint_migrate.launches.hydra import NUMBER, written_number
from mint_migrate.launches.processes import Read, found_of
from mint_migrate.model.plan import Decision, Fidelity, Kind
from mint_migrate.shell.words import PartKind
from mint_migrate.tables.defaults_list import Included, below, header_package, included

_OWN = re.compile(
    r"ppo(?:_\w+)?_trainer|sft_trainer(?:_engine)?|generation|evaluation|rl_trainer|dapo_\w*trainer"
)
"""Configurations that come with verl."""
_DEEPEST = 8
"""Files whose defaults name further files."""


@dataclass(slots=True)
class Composed:
    """The options of a launch, in the order in which one replaces another."""

    options: list[Given] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    """About what belongs to Hydra itself, and about keys that a `~` takes away."""


def compose(flags: Sequence[Given], program: str, read: Read) -> Composed:
    """Return the options of a launch of verl.

    Args:
        flags: overrides and options of Hydra.
        program: the module or script that is started; its folder may hold configurations.
        read: returns the text of a file.
    """
    composed = Composed()
    named = {flag.name: flag for flag in flags if flag.kind is Kind.FLAG}
    folders = list(_folders(named.get("config_path"), named.get("config_dir"), program))
    files = _Files(folders=folders, read=read)
    config = named.get("config_name")
    if config is not None:
        composed.options += _of_file(config, files, composed)
    for flag in flags:
        if flag.kind is Kind.FLAG:
            if flag is not config:
                note = "an option of Hydra itself"
                composed.decisions.append(_decision(flag, Fidelity.EXACT, note))
        elif flag.prefix == "~":
            composed.options = _without(flag, composed)
        else:
            composed.options.append(flag)
    composed.options = list(_training_alone(composed))
    return composed


@dataclass(slots=True)
class _Files:
    """Where configurations are looked for."""

    folders: list[str]
    read: Read

    def find(self, name: str) -> tuple[str, str] | None:
        """Return path and text of a configuration, None where it is not in the user's tree."""
        for folder in self.folders:
            for ending in ("", ".yaml", ".yml"):
                path = f"{folder}/{name}{ending}".lstrip("/") if folder else f"{name}{ending}"
                text = self.read(path) if path.endswith((".yaml", ".yml")) else None
                if text is not None:
                    return path, text
        return None


def _folders(path: Given | None, other: Given | None, program: str) -> Iterator[str]:
    """Yield the folders that may hold the configurations, the likeliest first."""
    module = program.removesuffix(".py")
    own = module if "/" in module or program.endswith(".py") else module.replace(".", "/")
    home = own.rpartition("/")[0]
    for given in (path, other):
        if given is None or not given.words:
            continue
        parts = given.words[0].parts
        # A folder that only the shell knows is most often that of the project.
        known = [part.text if part.kind is PartKind.TEXT else "" for part in parts]
        text = re.sub(r"/\./|//+", "/", "".join(known)).removeprefix("./").rstrip("/")
        is_known = all(part.kind is PartKind.TEXT for part in parts)
        yield text if is_known else text.lstrip("/")
        if is_known and not text.startswith("/"):
            yield f"{home}/{text}" if home else text
    yield f"{home}/config" if home else "config"
    yield home


def _of_file(config: Given, files: _Files, composed: Composed) -> list[Given]:
    name = (config.text or "").removesuffix(".yaml")
    found = files.find(name) if name else None
    if found is None:
        if _OWN.fullmatch(name):
            note = "a configuration of verl's own, whose values are the release's defaults"
            composed.decisions.append(_decision(config, Fidelity.EXACT, note))
        else:
            shown = config.text or config.source_text
            note = f"`{shown}` is not here; its options are missing in the result"
            composed.decisions.append(_decision(config, Fidelity.MANUAL, note, "MM122"))
        return []
    if _OWN.fullmatch(name) and f"/{found[0]}".endswith(f"/verl/trainer/config/{name}.yaml"):
        note = (
            "a configuration of the project's copy of verl, with the release's defaults; what the "
            "copy changes in it is not in the result"
        )
        composed.decisions.append(_decision(config, Fidelity.APPROXIMATE, note, "MM327"))
        return []
    try:
        keys = list(_keys(found, files, Included(name=name), {}))
    except ConfigError as error:
        note = f"`{found[0]}` cannot be read: {error}"
        composed.decisions.append(_decision(config, Fidelity.MANUAL, note, "MM122"))
        return []
    note = f"the keys of `{found[0]}` are decided one by one"
    composed.decisions.append(_decision(config, Fidelity.EXACT, note))
    return keys


def _keys(
    found: tuple[str, str],
    files: _Files,
    place: Included,
    choices: dict[str, str],
    depth: int = 0,
) -> Iterator[Given]:
    """Yield the innermost keys of a file and of those it names, later ones counting.

    Args:
        found: path and text of the file.
        files: finds the others.
        place: the name of the file, and where its keys go from the top.
        choices: of groups, made so far.
        depth: files that name this one.
    """
    path, text = found
    package = place.package
    header = header_package(text)
    if header is not None:
        package = below("", header)
    keys = read_yaml(text, path, nested=True)
    listed: Any = next((key.data for key in keys if key.name == "defaults"), [])
    entries = listed if isinstance(listed, list) else []
    for entry in included(entries, posixpath.dirname(place.name), choices):
        if not entry.name:
            for key in keys:
                is_list = not package or key.name == "defaults"
                name = key.name if is_list else f"{package}.{key.name}"
                yield replace(_as_omegaconf(key), name=name)
            continue
        other = files.find(entry.name) if depth < _DEEPEST else None
        if other is not None and other[0] != path:
            inner = replace(entry, package=below(package, entry.package))
            yield from _keys(other, files, inner, choices, depth + 1)


def _as_omegaconf(key: Given) -> Given:
    """Return a key with the number that OmegaConf reads: of `1e-6` YAML makes text."""
    bare = key.source_text.partition(":")[2].split(" #")[0].strip()
    if isinstance(key.data, str) and key.data == bare and NUMBER.fullmatch(bare):
        return replace(key, data=float(bare), number=written_number(bare))
    return key


def _without(flag: Given, composed: Composed) -> list[Given]:
    """Return the options without those that `~key` takes away."""
    rest: list[Given] = []
    for option in composed.options:
        if option.name == flag.name or option.name.startswith(f"{flag.name}."):
            note = f"`{flag.source_text}` takes it away"
            composed.decisions.append(_decision(option, Fidelity.EXACT, note))
        else:
            rest.append(option)
    is_done = len(rest) < len(composed.options)
    note = "the key is not in the result" if is_done else "see what the original does without it"
    fidelity = Fidelity.EXACT if is_done else Fidelity.MANUAL
    composed.decisions.append(_decision(flag, fidelity, note, None if is_done else "MM307"))
    return rest


def _training_alone(composed: Composed) -> Iterator[Given]:
    """Yield the options of the training; those of Hydra's own running are decided here."""
    for option in composed.options:
        if option.name == "defaults" or re.match(r"hydra(?:\.|$)", option.name):
            note = "read with the files it names"
            if option.name != "defaults":
                note = "how Hydra runs and where it logs has no counterpart"
            fidelity = Fidelity.EXACT if option.name == "defaults" else Fidelity.DROPPED
            code = None if option.name == "defaults" else "MM316"
            composed.decisions.append(_decision(option, fidelity, note, code))
        else:
            yield option


def _decision(given: Given, fidelity: Fidelity, note: str, code: str | None = None) -> Decision:
    target = "" if fidelity is Fidelity.MANUAL else "nothing"
    if fidelity is Fidelity.EXACT:
        target = "the script"
    found = found_of(given, f"verl.config.{given.name}")
    return Decision(found=found, fidelity=fidelity, row=None, code=code, target=target, note=note)

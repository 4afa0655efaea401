"""A row of a mapping table, as the rest of the program sees it."""

from __future__ import annotations

from dataclasses import dataclass

from mint_migrate.model.plan import Fidelity
from mint_migrate.tables.versions import version_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What becomes of one name of a source framework in some range of its releases."""

    id: str
    """Qualified name of the field, argument, class or method: `trl.SFTConfig.max_length`."""
    since: str | None
    """First release that has it; None: since the first one recorded."""
    until: str | None
    """First release without it; None: still there."""
    defaults: tuple[tuple[str, str], ...]
    """(release, Python literal): the default from that release on."""
    to: str
    """Where it goes: `config.max_length`, `AdamParams.weight_decay`, or a phrase."""
    fidelity: Fidelity
    code: str | None
    """Reason, a code of `rules.yaml`; None only where exact."""
    transform: str
    """How: one of `TRANSFORMS`."""
    neutral: tuple[str, ...]
    """Python literals with which the option does nothing; such a use is always exact."""
    unit: str
    note: str
    pitfall: str
    source: str
    """Link pinned to a commit."""

    def default_in(self, version: str) -> str | None:
        """Return the default (a Python literal) in *version*, or None where it has none.

        None too where *version* no longer has the name.
        """
        found = None
        if self.until is not None and version_key(self.until) <= version_key(version):
            return None
        for release, literal in self.defaults:
            if version_key(release) <= version_key(version):
                found = literal
        return found

    def exists_in(self, version: str) -> bool:
        """Say whether *version* has this name."""
        key = version_key(version)
        after_start = self.since is None or version_key(self.since) <= key
        return after_start and (self.until is None or key < version_key(self.until))


TRANSFORMS = (
    "keep",  # the value expression is carried to `to` unchanged
    "drop",  # nothing is carried
    "rename",  # as keep, under another name
    "rule",  # a rule of the planner decides; the row states the usual outcome
    "stop",  # a person must act
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDoc:
    """A reason code and its page."""

    code: str
    title: str
    """One sentence fragment naming what was found, such as "LoRA dropout has no counterpart"."""
    finds: str
    writes: str
    fidelity: Fidelity
    lost: str
    before: str
    after: str
    source: str
    way_out: str
    """What the reader does next."""

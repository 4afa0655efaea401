"""What an inventory holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mint_migrate.model.outcome import Failed

UNKNOWN = "unknown"
"""What becomes of a name that the tables do not hold."""
OUTCOMES = ("exact", "approximate", "dropped", "manual", UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use of a source framework. Lines and columns count from 1."""

    line: int
    column: int
    kind: str
    """A `Kind` of `model.plan`, or `command`: a launcher or a command line."""
    name: str
    """Qualified: `trl.SFTConfig.learning_rate`; as typed for a command: `trl sft`."""
    source_text: str
    becomes: str
    """What its row in the tables says: exact | approximate | dropped | manual; or unknown."""
    row: str | None = None
    code: str | None = None
    target: str = ""
    """Where the row says that it goes."""
    cell: int | None = None
    """Number of the notebook's cell from 1, whose lines are counted; None in other files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScan:
    """The uses of one file, by position; or why it cannot be read."""

    path: str
    uses: tuple[Use, ...] = ()
    failure: Failed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The files that use a source framework, or could not be read, in the order of the tree."""

    files: tuple[FileScan, ...]
    failures: tuple[Failed, ...]
    """Of paths rather than of files."""
    num_searched: int
    """Files looked at."""

    @property
    def is_complete(self) -> bool:
        """Whether everything could be read."""
        return not self.failures and all(file.failure is None for file in self.files)


def counts(uses: Iterable[Use]) -> dict[str, int]:
    """Return how many uses have which outcome, in the order of `OUTCOMES`."""
    counted = Counter(use.becomes for use in uses)
    return {outcome: counted[outcome] for outcome in OUTCOMES}

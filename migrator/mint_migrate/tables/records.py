"""Records of the index besides the rows: version facts, the target's signatures, recorded names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What a source framework does in some range of its releases, where no option says so."""

    name: str
    """Such as `append_eos`."""
    value: str | bool | int | None
    since: str | None
    """First release it holds for; None: since the first one recorded."""
    until: str | None
    """First release it no longer holds for; None: still so."""
    note: str
    source: str
    """Link pinned to a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A call of the `mint` client that emitted scripts may make."""

    id: str
    """Qualified: `mint.TrainingClient.forward_backward`."""
    kind: str
    """`class`, `method`, `function`, `model` (a pydantic model) or `attribute`."""
    parameters: tuple[tuple[str, str | None], ...]
    """(name, default as a Python literal; None where it is required), in order, without `self`."""
    returns: str
    note: str

    @property
    def names(self) -> frozenset[str]:
        """Return the parameter names a call may use."""
        return frozenset(name for name, _ in self.parameters)

    @property
    def required(self) -> tuple[str, ...]:
        """Return the parameters without a default, in order."""
        return tuple(name for name, default in self.parameters if default is None)

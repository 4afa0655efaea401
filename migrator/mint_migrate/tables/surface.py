"""Which names the recorded releases have: constructor arguments, bases, releases themselves."""

from __future__ import annotations

from typing import Any

from mint_migrate.tables.versions import version_key


class Surface:
    """The recorded surfaces of all packages. A release that is not recorded counts as the nearest
    one before it, or as the oldest one. A plan asks for the same ones hundreds of times, so answers
    are kept.
    """

    def __init__(self, index: dict[str, Any]) -> None:
        """Take the parsed index."""
        self._versions: dict[str, list[str]] = index["versions"]
        self._names: dict[str, dict[str, list[int]]] = dict(index["surface"])
        self._bases: dict[str, dict[str, list[int]]] = dict(index["bases"])
        self._closed: dict[str, list[int]] = dict(index["closed"])
        self._nearest: dict[tuple[str, str], str] = {}
        self._taken: dict[tuple[str, int], frozenset[str]] = {}

    def add(self, part: dict[str, Any]) -> None:
        """Add the surface of a package that stands in an index of its own."""
        self._names |= part["surface"]
        self._bases |= part["bases"]
        self._closed |= part["closed"]

    def releases(self, package: str) -> tuple[str, ...]:
        """Return the recorded releases of a package, oldest first."""
        return tuple(self._versions.get(package, ()))

    def nearest(self, package: str, version: str) -> str:
        """Return the newest recorded release that is not after *version*, else the oldest one."""
        found = self._nearest.get((package, version))
        if found is None:
            releases = self.releases(package)
            earlier = [item for item in releases if version_key(item) <= version_key(version)]
            found = self._nearest[package, version] = earlier[-1] if earlier else releases[0]
        return found

    def __contains__(self, owner: str) -> bool:
        """Say whether some recorded release has the class *owner*."""
        return owner in self._names or owner in self._bases

    def has(self, owner: str, name: str) -> bool:
        """Say whether *name* is an argument of the class itself in some release."""
        return name in self._names.get(owner, {})

    def names(self, owner: str, version: str) -> frozenset[str]:
        """Return what the constructor of *owner* takes, names from bases in its package included.

        Empty where the release lacks the class.
        """
        position = self._position(owner, version)
        found = self._taken.get((owner, position))
        if found is None:
            found = self._taken[owner, position] = self._names_at(owner, position, version)
        return found

    def _names_at(self, owner: str, position: int, version: str) -> frozenset[str]:
        if not self._exists(owner, position):
            return frozenset()
        table = self._names.get(owner, {})
        own = frozenset(name for name, ranges in table.items() if _covers(ranges, position))
        if self.is_closed(owner, version):
            return own
        package = owner.partition(".")[0]
        bases = [base for base in self.bases(owner, version) if base.startswith(f"{package}.")]
        return own.union(*(self.names(base, version) for base in bases))

    def span(self, owner: str, name: str) -> tuple[str | None, str | None]:
        """Return the first release that has the argument, and the first behind the last one.

        None stands for the first recorded release, and for what the newest one has.
        """
        releases = self.releases(owner.partition(".")[0])
        ranges = self._names[owner][name]
        first, end = ranges[0], ranges[-1]
        return releases[first] if first else None, releases[end] if end < len(releases) else None

    def has_in(self, owner: str, version: str) -> bool:
        """Say whether the release has the class; no release has one of another package."""
        if owner not in self:
            return False
        return self._exists(owner, self._position(owner, version))

    def bases(self, owner: str, version: str | None = None) -> tuple[str, ...]:
        """Return the recorded bases of a class.

        Without a release, or for one that lacks the class, those of the nearest that has it; of two
        the newer one.
        """
        bases = self._bases.get(owner, {})
        if not bases:
            return ()
        newest = max(ranges[-1] for ranges in bases.values()) - 1
        position = newest if version is None else self._position(owner, version)
        if not self._exists(owner, position):
            known = {at for ranges in bases.values() for at in (*ranges[::2], *_ends(ranges))}
            position = min(known, key=lambda at: (abs(at - position), -at))
        return tuple(base for base, ranges in bases.items() if _covers(ranges, position))

    def is_closed(self, owner: str, version: str | None = None) -> bool:
        """Say whether the constructor takes nothing that only its bases take."""
        ranges = self._closed.get(owner, [])
        if version is None:
            return bool(ranges)
        return _covers(ranges, self._position(owner, version))

    def _exists(self, owner: str, position: int) -> bool:
        tables = (self._names.get(owner, {}), self._bases.get(owner, {}))
        return any(_covers(ranges, position) for table in tables for ranges in table.values())

    def _position(self, owner: str, version: str) -> int:
        package = owner.partition(".")[0]
        return self.releases(package).index(self.nearest(package, version))


def _covers(ranges: list[int], position: int) -> bool:
    """Say whether half-open *ranges*, [start, end, start, end, ...], hold *position*."""
    return any(
        start <= position < end for start, end in zip(ranges[::2], ranges[1::2], strict=True)
    )


def _ends(ranges: list[int]) -> list[int]:
    """Return the last position in each of half-open *ranges*."""
    return [end - 1 for end in ranges[1::2]]

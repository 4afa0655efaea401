"""Repeated requests.

A client that lost an answer posts again and must get the first one's request id.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

# Clients repeat a request within minutes; this many later ones from the same model or sampler are
# far more than that.
_REMEMBERED = 10_000


class Repeats:
    """Request ids by key, newest kept. Used on the event loop only."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._ids: OrderedDict[Hashable, str] = OrderedDict()

    def find(self, key: Hashable | None) -> str | None:
        """Return the request id given for `key` before, or None. The key None never repeats."""
        return None if key is None else self._ids.get(key)

    def remember(self, key: Hashable | None, request_id: str) -> None:
        """Give later requests with `key` this id."""
        if key is None:
            return
        self._ids[key] = request_id
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)

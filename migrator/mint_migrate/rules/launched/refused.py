"""Entry points without a conversion."""

from __future__ import annotations

from typing import NoReturn

from mint_migrate.launches.processes import Read
from mint_migrate.rules.base import Blocked
from mint_migrate.rules.launched.settings import Settings


def refuse(settings: Settings, read: Read) -> NoReturn:
    """Say that an entry point has no conversion.

    Raises:
        Blocked: always.
    """
    name = f"{settings.owner.framework}.{settings.owner.entry}"
    row = settings.tables.row(name, settings.version) or settings.tables.row(name)
    if row is not None and row.code is not None:
        raise Blocked(row.code, f"`{settings.owner.entry}` is not converted. {row.note}")
    raise Blocked("MM201", f"`{settings.owner.entry}` has no conversion yet")

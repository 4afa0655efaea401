"""Every server that a parity test starts leaves out what the hosted service lacks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mint_migrate.bridge.runtime import PROFILE_VARIABLE


@pytest.fixture(scope="module", autouse=True)
def hosted_profile() -> Iterator[None]:
    """Hand the profile to the processes that a module starts: what trains here, trains there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PROFILE_VARIABLE, "hosted")
        yield

"""What a server leaves out on purpose, so that what runs here runs on the hosted service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ProfileName(StrEnum):
    """What `--profile` takes."""

    FULL = "full"
    HOSTED = "hosted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is missing, by the names this server uses."""

    routes: Mapping[str, str] = field(default_factory=dict)
    """Name of a route, and what it is in words. It answers 404."""
    losses: frozenset[str] = frozenset()
    loads_first_only: bool = False
    """Whether a checkpoint can be loaded only as the first operation of a model."""


PROFILES: Mapping[ProfileName, Profile] = {
    ProfileName.FULL: Profile(),
    ProfileName.HOSTED: Profile(
        # Clients of 0.22 ask for it in `create_training_client_from_state`, which therefore fails;
        # `load_state_with_optimizer` on a fresh client is the way that works.
        routes={"weights_info": "the shape of a checkpoint"},
        # Later than the client that the hosted service is made for.
        losses=frozenset({"gspo"}),
        loads_first_only=True,
    ),
}

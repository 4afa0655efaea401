"""What can go wrong before or around a script of the user's.

BridgeError                 the sentence says what to do; exit status 2
|-- RuntimeMissing          the `runtime` extra is not installed
|-- RuntimeFailed           the server died or did not get ready; carries the end of its log
`-- CannotRun               the script or its world cannot be set up
"""

from __future__ import annotations

from mint_migrate.errors import MigrateError


class BridgeError(MigrateError):
    """Root of the errors of `run` and `verify`."""


class RuntimeMissing(BridgeError):
    """`mint_runtime` or one of its dependencies is not importable by this Python."""


class RuntimeFailed(BridgeError):
    """The runtime exited, or did not answer in time."""


class CannotRun(BridgeError):
    """A script, a model folder or a data file is missing or unusable, or a child process failed."""

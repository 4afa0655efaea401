"""Runs the application: socket, readiness, signals, and the lock on the state directory.

The socket is bound before the models are loaded, so that a port in use is said at once, and is
announced only when requests are answered.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO

import uvicorn

from mint_runtime.config import ServerSettings
from mint_runtime.engine.protocol import Engine
from mint_runtime.errors import UserError
from mint_runtime.service.app import App, build_app
from mint_runtime.service.settings import ServiceSettings

_LOG = logging.getLogger("mint_runtime.server")
# The engine's thread runs Python between its operations. Requests that need a fraction of a
# millisecond would wait for the interpreter ten times as long at its usual 5 ms.
_SWITCH_S = 0.0005
_SHUTDOWN_S = 3
_ENGINE_CLOSE_S = 5.0


@contextlib.contextmanager
def locked_state(state_dir: Path) -> Iterator[None]:
    """Hold `state_dir` for this process; the lock goes with the process, however it ends.

    Raises:
        UserError: Another server holds it, or it cannot be written.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        handle: IO[str] = open(state_dir / "lock", "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"`--state-dir {state_dir}` cannot be used: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            raise UserError(
                f"`{state_dir}` is used by the mint-runtime with process id"
                f" {handle.read().strip()}; stop it, or choose another folder with `--state-dir`"
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host` and `port`.

    Raises:
        UserError: The address is not of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise UserError(f"`{host}` port {port} cannot be used: {error.strerror}") from error
    return bound


def serve(
    make_engine: Callable[[], Engine],
    settings: ServiceSettings,
    server: ServerSettings,
    announce: Callable[[str], None],
) -> None:
    """Serve until a signal comes. `announce` gets the URL once requests are answered.

    Raises:
        UserError: The address, the state directory or a base model cannot be used.
    """
    _leave_on_signals()
    sys.setswitchinterval(_SWITCH_S)
    with (
        locked_state(settings.state_dir),
        contextlib.closing(bind(server.host, server.port)) as sock,
    ):
        engine = make_engine()
        try:
            app = build_app(engine, settings)
            _Server(app, server, _url(server.host, sock), announce).run(sockets=[sock])
        finally:
            _close(engine)


class _Server(uvicorn.Server):
    """Tells when it is ready, and lets long polls go when it is asked to stop."""

    def __init__(
        self, app: App, settings: ServerSettings, url: str, announce: Callable[[str], None]
    ) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
        super().__init__(config)
        self._app = app
        self._settings = settings
        self._url = url
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        if self._settings.stop_with_stdin:
            threading.Thread(target=self._stop_at_end_of_stdin, daemon=True).start()
        if self._settings.ready_file is not None:
            _write_ready_file(self._settings.ready_file, self._url)
        self._announce(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.release_waiting()
        await super().shutdown(sockets)

    def _stop_at_end_of_stdin(self) -> None:
        while sys.stdin.buffer.read(4096):
            pass
        self.should_exit = True


def _url(host: str, sock: socket.socket) -> str:
    port = sock.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _write_ready_file(path: Path, url: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", encoding="utf-8")
    fresh.replace(path)


def _leave_on_signals() -> None:
    """Make both signals end the process with status 0, at start-up as after a clean shutdown.

    While it serves, uvicorn has handlers of its own; it gives these back, and repeats the signal,
    at its end.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)


def _close(engine: Engine) -> None:
    """Close the engine, but do not wait long for a command that still runs.

    Nothing it does outlives the process.
    """
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(_ENGINE_CLOSE_S)
    if closing.is_alive():
        _LOG.warning("leaving in the middle of a command")
        sys.stdout.flush()
        os._exit(0)

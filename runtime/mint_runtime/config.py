"""What `mint-runtime serve` is told, checked before anything heavy is imported."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mint_runtime.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server listens and whom it tells."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    ready_file: Path | None = None
    stop_with_stdin: bool = False


def default_state_dir() -> Path:
    """Return where a user's programs keep their state on this platform."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        fallback = Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base, fallback = None, Path.home() / "Library" / "Application Support"
    else:
        base, fallback = os.environ.get("XDG_STATE_HOME"), Path.home() / ".local" / "state"
    return (Path(base) if base else fallback) / "mint-runtime"


def parse_base_model(text: str) -> tuple[str, str]:
    """Return name and source of `NAME` or `NAME=DIR`. Without a folder the name is the source.

    Raises:
        UserError: A part is empty, or the folder does not hold a model.
    """
    name, equals, folder = text.partition("=")
    if not name or (equals and not folder):
        raise UserError(f"`--base-model {text}` is not NAME or NAME=DIR")
    if not equals:
        return name, name
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"`--base-model {text}`: `{path}` is not a folder")
    if not (path / "config.json").is_file():
        raise UserError(f"`--base-model {text}`: `{path}` has no config.json, so it is not a model")
    # Clients cut a tokenizer path with exactly two slashes in half; an absolute one is also right
    # in every folder.
    return name, str(path.resolve())


def parse_base_models(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Return all base models.

    Raises:
        UserError: There is none, or two have the same name.
    """
    if not texts:
        raise UserError("at least one `--base-model NAME[=DIR]` is needed")
    models = tuple(parse_base_model(text) for text in texts)
    names = [name for name, _ in models]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"`--base-model` names `{name}` twice")
    return models


def check_exposure(host: str, api_key: str | None) -> None:
    """Refuse to serve strangers without a key.

    Raises:
        UserError: `host` can be reached from other machines and there is no key, or the key is
            empty.
    """
    if api_key is not None and not api_key.strip():
        raise UserError("`--api-key` is empty")
    if api_key is None and not _is_loopback(host):
        raise UserError(
            f"`--host {host}` can be reached from other machines; add `--api-key KEY`,"
            " or stay on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

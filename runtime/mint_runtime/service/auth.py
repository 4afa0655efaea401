"""Keys and tokens.

A client with an `sk-` key first exchanges it for a token (a JWT) and sends the token from then on;
scripts may also send the key itself. Tokens are signed with a secret kept in the state directory,
so they survive a restart, and carry a mark of the key they were given for, so they do not survive a
change of key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from mint_runtime.errors import Unauthorized

KEY_PREFIXES = ("sk-", "tml-", "eyJ")
# Clients renew long before the end; a near end would make old ones renew without a pause.
_TOKEN_LIFETIME_S = 30 * 24 * 3600
_HEADER = {"alg": "HS256", "typ": "JWT"}


# What clients show when asked who they are; a server on one's own machine has no accounts.
_WHO = {"sub": "local", "org_id": "local", "email": ""}


class ExpiredToken(Unauthorized):
    """The token was ours and is past its end; the client can exchange its key again."""


class Keys:
    """Decides which keys are let in, and signs tokens and download links.

    With `api_key` only that key and tokens issued for it are accepted. Without one, any text that
    looks like a key is: asking for the header still keeps out what a web page can send to a
    loopback address.
    """

    def __init__(self, api_key: str | None, secret: bytes) -> None:
        self._api_key = api_key
        self._secret = secret
        self._mark = self._sign(f"key:{api_key}")[:16] if api_key else "open"

    def check(self, key: str | None) -> None:
        """Accept `key`, the value of `X-API-Key`.

        Raises:
            Unauthorized: The key is missing or is not the server's.
            ExpiredToken: The key is a token of ours that has ended.
        """
        if not key:
            raise Unauthorized(
                "the request has no API key; set `MINT_API_KEY` before `import mint`"
            )
        if self._api_key is None:
            if not key.startswith(KEY_PREFIXES):
                raise Unauthorized(f"an API key begins with one of {', '.join(KEY_PREFIXES)}")
            return
        if hmac.compare_digest(key.encode(), self._api_key.encode()):
            return
        claims = self._claims(key)
        if claims is None or claims.get("key") != self._mark:
            raise Unauthorized(
                "the API key is not the one this server was started with; set `MINT_API_KEY` to the"
                " value of its `--api-key`"
            )
        if claims["exp"] <= time.time():
            raise ExpiredToken("the token has expired; exchange the API key for a new one")

    def issue(self) -> str:
        """Return a new token for the server's key."""
        now = int(time.time())
        claims = {
            **_WHO,
            "iat": now,
            "exp": now + _TOKEN_LIFETIME_S,
            "key": self._mark,
        }
        signed = f"{_encode(_HEADER)}.{_encode(claims)}"
        return f"{signed}.{self._sign(signed)}"

    def sign_link(self, path: str, expires: int) -> str:
        """Return the signature that lets a download link work without a key until `expires`."""
        return self._sign(f"link:{path}:{expires}")

    def check_link(self, path: str, expires: int, signature: str) -> None:
        """Accept a download link.

        Raises:
            Unauthorized: The signature is wrong or the link has expired.
        """
        if not hmac.compare_digest(self.sign_link(path, expires), signature):
            raise Unauthorized("the download link is not valid; ask for the archive again")
        if expires <= time.time():
            raise Unauthorized("the download link has expired; ask for the archive again")

    def _claims(self, token: str) -> dict[str, Any] | None:
        signed, _, signature = token.rpartition(".")
        if not signed or not hmac.compare_digest(self._sign(signed), signature):
            return None
        claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
        return claims

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def load_secret(path: Path) -> bytes:
    """Return the signing secret in `path`, making it on first use, readable by its owner only."""
    try:
        text = path.read_text(encoding="ascii").strip()
        secret = binascii.unhexlify(text)
    except (FileNotFoundError, ValueError):
        secret = b""
    if len(secret) >= 32:
        return secret
    secret = secrets.token_bytes(32)
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secret.hex())
    fresh.replace(path)
    return secret


def _encode(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

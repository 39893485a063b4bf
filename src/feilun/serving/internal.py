"""The token with which processes of one workspace speak to its servers.

It is made from the workspace's secret, which only the operator's processes can read, and is good
for ten minutes.
"""

from __future__ import annotations

import hmac
import time

__all__ = ["PREFIX", "check_token", "make_token"]

PREFIX = "internal_"
SECONDS = 600


def make_token(secret: str, now: float | None = None) -> str:
    """A token that `check_token` takes for the next ten minutes."""
    until = int(time.time() if now is None else now) + SECONDS
    return f"{PREFIX}{until}_{_sign(secret, until)}"


def check_token(secret: str, token: str, now: float | None = None) -> bool:
    """Whether `token` was made from `secret` and has not expired."""
    until, _, signature = token.removeprefix(PREFIX).partition("_")
    if not token.startswith(PREFIX) or not (until.isascii() and until.isdigit()):
        return False
    signed = hmac.compare_digest(_sign(secret, int(until[:20])).encode(), signature.encode())
    return signed and int(until) > (time.time() if now is None else now)


def _sign(secret: str, until: int) -> str:
    return hmac.new(secret.encode(), f"feilun internal {until}".encode(), "sha256").hexdigest()

"""API keys: 256 random bits, shown once, kept as a hash.

`KeyRing` holds all keys of the catalog in memory, so that a call costs one look into a dict. It is
filled again whenever the catalog changes, which is how a revoked key stops working.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from feilun.errors import Unauthorized
from feilun.store.catalog import Catalog
from feilun.store.records import ApiKey

__all__ = ["KeyRing", "NewKey", "create_key", "hash_key"]

_BEGIN = "fl_"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `secret` is the whole, which nobody can show again."""

    secret: str
    record: ApiKey


def hash_key(secret: str) -> str:
    """What is kept of a key: its sha256, in hexadecimal."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def create_key(
    catalog: Catalog,
    customer: str,
    *,
    name: str = "",
    project: str | None = None,
    store_inputs: int | None = None,
    expires: datetime | None = None,
) -> NewKey:
    """A new key for `customer` (an id). `project` limits it to one project; `store_inputs` are the
    days that inputs are kept for feedback (0: never; None: what the project says).

    Raises `NotFound` for an unknown customer or project.
    """
    secret = _BEGIN + secrets.token_urlsafe(32)
    record = catalog.add_key(
        customer,
        secret[:_SHOWN],
        hash_key(secret),
        name=name,
        project=project,
        store_inputs=store_inputs,
        expires=expires,
    )
    return NewKey(secret, record)


class KeyRing:
    """All keys by hash. `reload` fills it; `find` decides about one call."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._keys: Mapping[bytes, ApiKey] = {}
        self._by_id: Mapping[str, ApiKey] = {}
        self._lock = threading.Lock()
        self._epoch = -1

    def reload(self) -> None:
        """Reads all keys. Raises `EnvironmentProblem` when the catalog cannot be read."""
        with self._lock:
            epoch = self._catalog.epoch()
            keys = self._catalog.keys()
            self._keys = {bytes.fromhex(key.hash): key for key in keys}
            self._by_id = {key.id: key for key in keys}
            # Last: whoever sees this epoch sees keys at least as new.
            self._epoch = epoch

    def knows(self, secret: bytes) -> bool:
        """Whether this key is on the ring. One that is not may have been made a moment ago."""
        return sha256(secret).digest() in self._keys

    def look_again(self) -> bool:
        """Reads the keys again if the catalog has changed since; whether it has.

        When this returns, the ring holds every change that was committed before it was called.
        Raises `EnvironmentProblem` when the catalog cannot be read.
        """
        if self._catalog.epoch() == self._epoch:
            return False
        self.reload()
        return True

    def valid(self, key_id: str, now: datetime | None = None) -> bool:
        """Whether the key of this id still works, as far as the ring knows: it is there, not
        revoked, and not expired at `now`. One look into a dict; `look_again` comes first where the
        last change counts."""
        key = self._by_id.get(key_id)
        return key is not None and _works(key, now or datetime.now(UTC))

    def find(self, secret: bytes, now: datetime | None = None) -> ApiKey:
        """The key of these bytes. Raises `Unauthorized` when it is unknown, expired or revoked.

        The look-up is by sha256, so that its time tells nothing of how near a guess came.
        """
        if not secret:
            raise Unauthorized("billing.no_key")
        key = self._keys.get(sha256(secret).digest())
        if key is None:
            raise Unauthorized("billing.wrong_key")
        if key.revoked is not None:
            raise Unauthorized("billing.key_revoked", prefix=key.prefix)
        if key.expires is not None and key.expires <= (now or datetime.now(UTC)):
            raise Unauthorized("billing.key_expired", prefix=key.prefix)
        return key


def _works(key: ApiKey, now: datetime) -> bool:
    return key.revoked is None and (key.expires is None or now < key.expires)

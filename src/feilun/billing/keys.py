"""API keys: 256 random bits, shown once, kept as a hash.

`KeyRing` holds all keys of the catalog in memory, so that a call costs one look into a dict. It is
filled again whenever the catalog changes, which is how a revoked key stops working.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from feilun.errors import Forbidden, InvalidSettings, Unauthorized
from feilun.store.catalog import Catalog
from feilun.store.records import DEFAULT_SCOPES, ApiKey

__all__ = [
    "SCOPES",
    "KeyRing",
    "KeysRead",
    "NewKey",
    "check_scopes",
    "create_key",
    "hash_key",
    "require",
    "rotate_key",
]

SCOPES = ("predict", "feedback", "usage", "admin")
"""What a key may open: answers, feedback, its customer's usage and invoices, administration."""

_BEGIN = "fl_"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: `secret` is the whole, which nobody can show again. `old` is the
    key that it replaces."""

    secret: str
    record: ApiKey
    old: ApiKey | None = None


def hash_key(secret: str) -> str:
    """What is kept of a key: its sha256, in hexadecimal.

    A plain hash is enough: nobody guesses 256 random bits, however fast the guesses are.
    """
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def create_key(
    catalog: Catalog,
    customer: str,
    *,
    name: str = "",
    project: str | None = None,
    store_inputs: int | None = None,
    expires: datetime | None = None,
    scopes: Sequence[str] = DEFAULT_SCOPES,
    limits: Mapping[str, Any] | None = None,
) -> NewKey:
    """A new key for `customer` (an id). `project` limits it to one project; `store_inputs` are the
    days that inputs are kept for feedback (0: never; None: what the project says); `scopes` are of
    `SCOPES`; `limits` what it may use, checked by the caller.

    Raises `NotFound` for an unknown customer or project, `InvalidSettings` for unknown scopes.
    """
    chosen = check_scopes(scopes)
    secret = _new_secret()
    record = catalog.add_key(
        customer,
        secret[:_SHOWN],
        hash_key(secret),
        name=name,
        project=project,
        store_inputs=store_inputs,
        expires=expires,
        scopes=chosen,
        limits=limits,
    )
    return NewKey(secret, record)


def rotate_key(catalog: Catalog, which: str, *, overlap: timedelta) -> NewKey:
    """A new key that opens what the key `which` (an id, or a prefix) opens; the old one works for
    another `overlap`, so that its holder can change over. Raises as `Catalog.rotate_key` does."""
    secret = _new_secret()
    old, record = catalog.rotate_key(which, secret[:_SHOWN], hash_key(secret), overlap=overlap)
    return NewKey(secret, record, old)


def check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """`scopes` in the order of `SCOPES`, each once. Raises `InvalidSettings` for none and for one
    that is unknown."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        faults = unknown or ("-",)
        raise InvalidSettings("billing.unknown_scope", scope=faults[0][:80], options=SCOPES)
    return tuple(scope for scope in SCOPES if scope in scopes)


def require(key: ApiKey, scope: str) -> None:
    """Raises `Forbidden`, naming the scope, unless `key` has it."""
    if scope not in key.scopes:
        raise Forbidden("billing.no_scope", prefix=key.prefix, scope=scope, scopes=key.scopes)


@dataclass(frozen=True, slots=True)
class KeysRead:
    """All keys of the catalog, and the epoch before they were read."""

    epoch: int
    keys: Sequence[ApiKey]


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
        self.show(self.read())

    def read(self) -> KeysRead:
        """All keys as they are now, for `show`; the ring stays as it is. Raises
        `EnvironmentProblem` when the catalog cannot be read."""
        epoch = self._catalog.epoch()
        return KeysRead(epoch, self._catalog.keys())

    def show(self, read: KeysRead) -> None:
        """Puts the keys on the ring, unless newer ones are there."""
        with self._lock:
            if read.epoch < self._epoch:
                return
            self._keys = {bytes.fromhex(key.hash): key for key in read.keys}
            self._by_id = {key.id: key for key in read.keys}
            # Last: whoever sees this epoch sees keys at least as new.
            self._epoch = read.epoch

    def behind(self) -> bool:
        """Whether the catalog has changed since the keys on the ring were read. Raises
        `EnvironmentProblem` when it cannot be read."""
        return self._catalog.epoch() != self._epoch

    def knows(self, secret: bytes) -> bool:
        """Whether this key is on the ring. One that is not may have been made a moment ago."""
        return sha256(secret).digest() in self._keys

    def look_again(self) -> bool:
        """Reads the keys again if the catalog has changed since; whether it has.

        When this returns, the ring holds every change that was committed before it was called.
        Raises `EnvironmentProblem` when the catalog cannot be read.
        """
        if not self.behind():
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

        The look-up is by sha256 of what was sent, so that its time tells nothing of how near a
        guess came: nobody can choose the first bytes of a hash without knowing the key.
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


def _new_secret() -> str:
    return _BEGIN + secrets.token_urlsafe(32)


def _works(key: ApiKey, now: datetime) -> bool:
    return key.revoked is None and (key.expires is None or now < key.expires)

"""Who may come in: links that open once, people with passwords, customers with their keys.

Sessions, links and people are kept in one file of the workspace's state, so that a console that is
started again knows who was signed in. Of links and sessions only hashes are kept there, of
passwords what Argon2 makes of them.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from feilun.errors import Conflict, InvalidSettings, NotFound, RateLimited, Unauthorized
from feilun.store.files import write_atomically

__all__ = [
    "CUSTOMERS",
    "EVERYBODY",
    "OWNERS",
    "REVIEWERS",
    "ROLES",
    "STAFF",
    "Access",
    "Role",
    "Session",
]

Role = Literal["owner", "operator", "reviewer", "customer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""An owner does everything; an operator everything but people and the house's own keeping; a
reviewer reviews; a customer sees what is the customer's own."""

OWNERS: tuple[Role, ...] = ("owner",)
STAFF: tuple[Role, ...] = ("owner", "operator")
REVIEWERS: tuple[Role, ...] = ("owner", "operator", "reviewer")
CUSTOMERS: tuple[Role, ...] = ("customer",)
EVERYBODY = ROLES

_FILE = "console.json"
_SESSION = 12 * 3600.0  # seconds without a call after which a session ends
_LINK = 3600.0
_INVITE = 7 * 86400.0
_PASSWORD = 10  # characters at least
_FREE_TRIES = 5
_LONGEST_WAIT = 900.0


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in: a `who` to write into the audit log, a `role`, for customers the
    id of the `customer` and of the `key` that they came in with; `seen` is the time of the last
    call (seconds since 1970)."""

    who: str
    role: Role
    seen: float
    customer: str | None = None
    key: str | None = None


class Access:
    """Sessions, links and people of one workspace, in `folder`, its state. Safe for threads of one
    process; one console a workspace."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._lock = threading.RLock()
        self._failed: dict[str, tuple[int, float]] = {}

    # Links

    def link(
        self,
        role: Role = "owner",
        who: str = "",
        *,
        customer: str | None = None,
        key: str | None = None,
        seconds: float = _LINK,
    ) -> str:
        """A secret that signs in once, within `seconds`."""
        secret = secrets.token_urlsafe(24)
        with self._lock:
            kept = self._read()
            kept["links"][_hashed(secret)] = {
                "role": role,
                "who": who or role,
                "customer": customer,
                "key": key,
                "until": time.time() + seconds,
            }
            self._write(kept)
        return secret

    def invite(self, name: str, role: Role) -> str:
        """A link for a new person, who then chooses a password. Raises `Conflict` for a name that
        is taken, `InvalidSettings` for one that is none and for the role of customers, who come in
        by their keys."""
        name = name.strip()
        if not name or len(name) > 60 or not name.isprintable():
            raise InvalidSettings("console.bad_name", name=name[:60])
        if role not in ROLES or role == "customer":
            raise InvalidSettings("console.bad_role", role=role, options=ROLES[:3])
        with self._lock:
            kept = self._read()
            if name in kept["people"]:
                raise Conflict("console.name_taken", name=name)
            kept["people"][name] = {"role": role, "password": None}
            self._write(kept)
        return self.link(role, name, seconds=_INVITE)

    def invite_customer(self, customer: str, name: str, key: str) -> str:
        """A link by which a customer comes in as with the `key` (its id), once, within a week."""
        return self.link("customer", name, customer=customer, key=key, seconds=_INVITE)

    def enter(self, secret: str) -> tuple[str, Session]:
        """Uses up a link: the session's secret, and the session. Raises `Unauthorized` for one that
        was used, is too old or never was."""
        with self._lock:
            kept = self._read()
            found = kept["links"].pop(_hashed(secret), None)
            if found is None or found["until"] < time.time():
                raise Unauthorized("console.link_used")
            self._write(kept)
            return self._begin(found["who"], found["role"], found.get("customer"), found.get("key"))

    # People

    def people(self) -> dict[str, Mapping[str, Any]]:
        """Everybody by name: ``role``, and ``invited`` while no password is chosen."""
        with self._lock:
            return {
                name: {"role": one["role"], "invited": one["password"] is None}
                for name, one in sorted(self._read()["people"].items())
            }

    def set_password(self, name: str, password: str) -> None:
        """Raises `InvalidSettings` for a short one, `NotFound` for nobody."""
        if len(password) < _PASSWORD:
            raise InvalidSettings("console.short_password", least=_PASSWORD)
        from argon2 import PasswordHasher

        made = PasswordHasher().hash(password)
        with self._lock:
            kept = self._read()
            if name not in kept["people"]:
                raise NotFound("console.nobody", name=name)
            kept["people"][name]["password"] = made
            self._write(kept)

    def remove(self, name: str) -> None:
        """A person, with their sessions and links. Raises `NotFound` for nobody."""
        with self._lock:
            kept = self._read()
            if kept["people"].pop(name, None) is None:
                raise NotFound("console.nobody", name=name)
            for kind in ("sessions", "links"):
                kept[kind] = {k: v for k, v in kept[kind].items() if v["who"] != name}
            self._write(kept)

    def sign_in(self, name: str, password: str, address: str) -> tuple[str, Session]:
        """A session for the right password. Raises `Unauthorized`, and `RateLimited` for an address
        that has failed too often: the wait doubles with each failure."""
        from argon2 import PasswordHasher
        from argon2.exceptions import VerificationError

        self.throttle(address)
        with self._lock:
            person = self._read()["people"].get(name.strip())
        known = person["password"] if person else None
        hasher = PasswordHasher()
        try:
            # Somebody unknown costs the same time as somebody known.
            hasher.verify(known or hasher.hash(secrets.token_hex(8)), password)
            right = known is not None
        except VerificationError:
            right = False
        if not right or person is None:
            self.failed(address)
            raise Unauthorized("console.wrong_password")
        self._failed.pop(address, None)
        with self._lock:
            return self._begin(name.strip(), person["role"])

    def admit(self, customer: str, name: str, key: str) -> tuple[str, Session]:
        """A session for a customer whose `key` (its id) was right."""
        with self._lock:
            return self._begin(name, "customer", customer, key)

    def throttle(self, address: str) -> None:
        """Raises `RateLimited` while `address` has to wait."""
        count, until = self._failed.get(address, (0, 0.0))
        if count >= _FREE_TRIES and time.time() < until:
            wait = max(1, round(until - time.time()))
            raise RateLimited("console.too_often", seconds=wait, retry_after=wait)

    def failed(self, address: str) -> None:
        """Counts a failure of `address`."""
        count = self._failed.get(address, (0, 0.0))[0] + 1
        wait = min(_LONGEST_WAIT, 2.0 ** max(0, count - _FREE_TRIES + 1))
        if len(self._failed) > 10_000:
            self._failed.clear()
        self._failed[address] = (count, time.time() + wait)

    # Sessions

    def session(self, secret: str | None) -> Session | None:
        """The session of a cookie, None when there is none any more."""
        if not secret:
            return None
        now = time.time()
        with self._lock:
            kept = self._read()
            found = kept["sessions"].get(_hashed(secret))
            if found is None or found["seen"] + _SESSION < now:
                return None
            if now - found["seen"] > 60:  # a write a minute, not one a call
                found["seen"] = now
                self._write(kept)
            return Session(**found)

    def leave(self, secret: str | None) -> None:
        """Ends a session."""
        with self._lock:
            kept = self._read()
            if kept["sessions"].pop(_hashed(secret or ""), None) is not None:
                self._write(kept)

    def _begin(
        self, who: str, role: Role, customer: str | None = None, key: str | None = None
    ) -> tuple[str, Session]:
        secret, now = secrets.token_urlsafe(32), time.time()
        session = Session(who, role, now, customer, key)
        kept = self._read()
        kept["sessions"] = {
            k: v for k, v in kept["sessions"].items() if v["seen"] + _SESSION >= now
        }
        kept["links"] = {k: v for k, v in kept["links"].items() if v["until"] >= now}
        kept["sessions"][_hashed(secret)] = asdict(session)
        self._write(kept)
        return secret, session

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            kept = {}
        return {"sessions": {}, "links": {}, "people": {}, **kept}

    def _write(self, kept: Mapping[str, Any]) -> None:
        write_atomically(self._file, json.dumps(kept).encode(), mode=0o600)


def _hashed(secret: str) -> str:
    return sha256(secret.encode("utf-8", "replace")).hexdigest()

"""What keeps a server from strangers: its limits, its proxies, who calls, and TLS."""

from __future__ import annotations

import resource
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feilun.errors import EnvironmentProblem, InvalidSettings
from feilun.messages import t
from feilun.store.files import private_secret

__all__ = [
    "ADMIN_TOKEN",
    "HEADERS",
    "STRICT",
    "Limits",
    "Network",
    "Security",
    "allow_connections",
    "arrange",
    "check_tls",
    "greet",
    "inside",
    "of_request",
    "parse_address",
    "parse_networks",
    "parse_origins",
    "requested",
    "token_of",
]

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""What every answer carries, unless its route says otherwise."""

STRICT = (b"strict-transport-security", b"max-age=31536000")
"""What every answer over TLS carries as well."""

ADMIN_TOKEN = "admin-token"
"""The file of a workspace's state that holds the admin token, where no setting does."""

_LEAST = 32
_RESERVED = 256
"""File descriptors kept for databases and models."""

Network = IPv4Network | IPv6Network

_scope: ContextVar[Mapping[str, Any] | None] = ContextVar("feilun_request", default=None)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long clients may take, in seconds, and how many they may be.

    `head`: from a request's first byte to the end of its headers, and from a connection to its
    first request. `body_pause`: between two pieces of one body. `body_rate`: bytes a second that a
    body must come at in the long run, after `body_pause` seconds of grace. `answer`: until a
    client has taken all that was sent to it. `linger`: that the rest of a body is read and thrown
    away after it was refused. `connections`: in all; `from_one_address`: of these, from one
    address. `wrong_keys`: that one address may try at once; then one every two seconds.
    """

    head: float = 20.0
    body_pause: float = 30.0
    body_rate: int = 16_384
    answer: float = 120.0
    linger: float = 5.0
    connections: int = 4096
    from_one_address: int = 2048
    wrong_keys: int = 20


@dataclass(frozen=True, slots=True)
class Security:
    """What a server was told on its start.

    `proxies` are the networks whose ``X-Forwarded-For`` is believed. `tls` is a certificate's file
    (with its chain) and its key's, in PEM. `admin_token` opens ``/admin/v1``, and `admin` says
    whether that is there at all; with `admin_address` it is there and nowhere else. `origins` are
    the web pages that may call from a browser (`feilun.api.cors`).
    """

    limits: Limits = field(default_factory=Limits)
    proxies: tuple[Network, ...] = ()
    tls: tuple[Path, Path] | None = None
    admin: bool = False
    admin_token: str = field(default="", repr=False)
    admin_address: tuple[str, int] | None = None
    origins: tuple[str, ...] = ()


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks (``10.0.0.0/8``). Raises `InvalidSettings` for anything else."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError:
            raise InvalidSettings("api.bad_network", given=text[:80], faults=()) from None
    return tuple(found)


def parse_origins(texts: Iterable[str]) -> tuple[str, ...]:
    """Origins as browsers send them (``https://shop.example.com``, ``http://localhost:3000``), or
    ``*``. Raises `InvalidSettings` for anything else."""
    found: list[str] = []
    for text in texts:
        given = text.strip().rstrip("/").lower()
        parts = urlsplit(given)
        try:
            port = parts.port
        except ValueError:
            port = -1
        bare = f"{parts.scheme}://{parts.netloc}" == given and "@" not in parts.netloc
        if given != "*" and not (
            bare and parts.scheme in ("http", "https") and parts.hostname and port != -1
        ):
            raise InvalidSettings("api.bad_origin", given=text[:80], faults=())
        found.append(given)
    return tuple(found)


def requested(scope: Mapping[str, Any]) -> None:
    """From here on, in this task, `of_request` speaks of this request."""
    _scope.set(scope)


def of_request(proxies: Iterable[Network] = ()) -> str:
    """The address of whoever makes the present request; empty outside of one.

    From a trusted proxy it is the last address in ``X-Forwarded-For`` that is not a trusted proxy
    itself: what stands further left was written by the caller, and says whatever the caller likes.
    """
    scope = _scope.get()
    client = (scope or {}).get("client")
    address = str(client[0]) if client else ""
    trusted = tuple(proxies)
    if scope is None or not trusted or not inside(address, trusted):
        return address
    hops: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            hops += value.split(b",")
    for hop in reversed(hops[-20:]):
        text = hop.strip().decode("latin-1")
        if not _is_address(text):
            break
        address = text
        if not inside(address, trusted):
            break
    return address


def allow_connections(limits: Limits) -> Limits:
    """`limits` with as many connections as this process may have files open, once it has asked the
    system for as many as are wanted."""
    wanted = limits.connections + _RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=max(16, min(limits.connections, soft - _RESERVED)))


def arrange(
    state: Path,
    *,
    proxies: Iterable[str] = (),
    origins: Iterable[str] = (),
    certificate: Path | None = None,
    key: Path | None = None,
    admin: bool = False,
    admin_address: str | None = None,
    admin_token: str | None = None,
) -> Security:
    """The security that was asked for on the command line and in the settings; `state` is the
    workspace's ``.feilun``. Raises `InvalidSettings` and `EnvironmentProblem`."""
    if (certificate is None) != (key is None):
        raise InvalidSettings("api.half_tls", faults=())
    wanted = admin or admin_address is not None
    return Security(
        proxies=parse_networks(proxies),
        origins=parse_origins(origins),
        tls=check_tls(certificate, key) if certificate and key else None,
        admin=wanted,
        admin_token=token_of(state, admin_token) if wanted else "",
        admin_address=parse_address(admin_address) if admin_address else None,
    )


def greet(
    security: Security, address: str, host: str, state: Path
) -> tuple[dict[str, str], list[str]]:
    """What is said of the administration when a server that is bound to `host` answers at
    `address`: as JSON, and in words. Where it can be reached in the clear from elsewhere, a
    warning."""
    if not security.admin:
        return {}, []
    if security.admin_address is not None:
        host, port = security.admin_address
        name = f"[{host}]" if ":" in host else host
        address = f"{urlsplit(address).scheme}://{name}:{port}"
    file = state / ADMIN_TOKEN
    where = str(file) if file.exists() else "FEILUN_ADMIN_TOKEN"
    lines = [t("api.admin_at", address=address, where=where)]
    if security.tls is None and not _is_local(host):
        lines.append(t("api.admin_in_clear", address=address))
    return {"admin": f"{address}/admin/v1"}, lines


def _is_local(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8001`` or ``[::1]:8001``. Raises `InvalidSettings`."""
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port[:6]) < 65536:
        raise InvalidSettings("api.bad_address", given=text[:80], faults=())
    return host.removeprefix("[").removesuffix("]"), int(port)


def token_of(state: Path, given: str | None = None) -> str:
    """The admin token: the `given` one, else that of the file ``admin-token``, which is made when
    it is not there, readable by its owner alone.

    Raises `InvalidSettings` for one that is too short, `EnvironmentProblem` when others may read
    the file.
    """
    if given is None:
        file = state / ADMIN_TOKEN
        given = private_secret(file)
        if file.stat().st_mode & 0o077:
            raise EnvironmentProblem("api.admin_token_open", file=file)
    if len(given) < _LEAST:
        raise InvalidSettings("api.admin_token_short", least=_LEAST, faults=())
    return given


def check_tls(certificate: Path, key: Path) -> tuple[Path, Path]:
    """The two files, once they are known to fit. Raises `EnvironmentProblem` when they do not."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # an SSLError is an OSError with a reason of its own
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise EnvironmentProblem(
            "api.tls", certificate=certificate, key=key, reason=reason
        ) from None
    return certificate, key


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def inside(address: str, networks: Iterable[Network]) -> bool:
    """Whether `address` belongs to one of `networks`; what is no address belongs to none."""
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)

"""Connections to public addresses alone, each within its time.

The address that was looked at is the address that is connected to: a name cannot mean a public
machine when it is checked and a machine of the house when it is called.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Sequence

import httpcore

from feilun.errors import InvalidData

__all__ = ["ANYWHERE", "Guard"]

ANYWHERE = ("0.0.0.0/0", "::/0")
"""Networks of `Guard` for somebody who means it."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HIDDEN = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))
"""Addresses of version 6 that stand for one of version 4, which may be private."""


class Guard(httpcore.NetworkBackend):
    """Connects to public addresses and to those in `private` networks. All reading and writing of
    one call must be done by `deadline` (of `time.monotonic`), however slowly the other side
    drips."""

    def __init__(self, private: Sequence[str] = ()) -> None:
        self.deadline = 0.0
        self._private = [ipaddress.ip_network(network) for network in private]
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to `host`. Raises `InvalidData` when any of its addresses is private."""
        last: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._addresses(host, port):
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, self.left(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            return _Timed(stream, self)
        raise last or httpcore.ConnectError(host)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Never."""
        raise httpcore.ConnectError(path)

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)

    def left(self, timeout: float | None) -> float:
        """Seconds that one operation may take. Raises when the call's time is over."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("deadline")
        return left if timeout is None else min(timeout, left)

    def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise InvalidData("web.no_host", host=host) from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not self._allowed(address):
                raise InvalidData("web.private", host=host, address=address)
        return list(dict.fromkeys(addresses))

    def _allowed(self, address: Address) -> bool:
        inner = getattr(address, "ipv4_mapped", None) or address
        if any(inner in network for network in self._private):
            return True
        hidden = any(inner in network for network in _HIDDEN)
        return inner.is_global and not inner.is_multicast and not hidden


class _Timed(httpcore.NetworkStream):
    """A connection whose every operation ends by the guard's deadline."""

    def __init__(self, stream: httpcore.NetworkStream, guard: Guard) -> None:
        self._stream, self._guard = stream, guard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._guard.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._guard.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._guard.left(timeout))
        return _Timed(stream, self._guard)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

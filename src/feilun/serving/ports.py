"""The address a server listens on, taken before anything is loaded."""

from __future__ import annotations

import errno
import socket

from feilun import messages
from feilun.errors import EnvironmentProblem

__all__ = ["bind", "url_of"]


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    Raises `EnvironmentProblem` when the port is taken (naming the process where it can be seen) or
    the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EnvironmentProblem(
            "serving.cannot_bind", host=host, port=port, reason=error.strerror or str(error)
        ) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except (OSError, OverflowError) as error:
        sock.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise EnvironmentProblem(
                "serving.port_taken", host=host, port=port, by=_by(port)
            ) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise EnvironmentProblem(
            "serving.cannot_bind", host=host, port=port, reason=reason
        ) from None
    sock.set_inheritable(False)
    return sock


def url_of(host: str, port: int, *, tls: bool = False) -> str:
    """The base URL under which processes of this machine reach a server bound to `host`."""
    scheme = "https" if tls else "http"
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    name = f"[{reachable}]" if ":" in reachable else reachable
    return f"{scheme}://{name}:{port}"


def _by(port: int) -> str:
    """Who listens there, as far as this user may know."""
    import psutil

    try:
        found = next(
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr.port == port
            and connection.pid
        )
        return messages.t("serving.port_taken_by", pid=found, name=psutil.Process(found).name())
    except (StopIteration, psutil.Error, OSError):
        return ""

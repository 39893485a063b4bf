"""One request at a time: bounded in bytes and seconds, no cookies, no proxy, redirects told."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore

from feilun.data.web.guard import Guard
from feilun.errors import InvalidData

__all__ = ["Answer", "Web", "origin_of", "sound_url"]

_TIMEOUTS = {"connect": 10.0, "read": 15.0, "write": 10.0, "pool": 10.0}
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: header names in lower case; `location` where it sends us on."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    location: str | None

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str:
        """The encoding that the server names; empty when it names none."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                return value.strip(" \"'")
        return ""


def sound_url(url: str) -> str:
    """The URL as it is asked for, without fragment. Raises `InvalidData` for another scheme than
    http and https, and for one without host, with a user's name in it, or a strange port."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidData("web.bad_url", url=url[:200]) from None
    if parts.scheme not in ("http", "https"):
        raise InvalidData("web.scheme", url=url[:200], scheme=parts.scheme or "-")
    if not host or parts.username is not None or port == 0:
        raise InvalidData("web.bad_url", url=url[:200])
    return parts._replace(fragment="").geturl()


def origin_of(url: str) -> str:
    """Scheme, host and port: whose robots.txt holds, and who is not to be hurried."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class Web:
    """A client that says who it is. Close it, or its connections stay."""

    def __init__(self, agent: str, *, private: Sequence[str] = (), seconds: float = 30) -> None:
        self._guard = Guard(private)
        self._seconds = seconds
        self._headers: list[tuple[bytes | str, bytes | str]] = list(
            {
                "User-Agent": agent,
                "Accept": "text/html,application/xhtml+xml,text/plain;q=0.8",
                "Accept-Encoding": "gzip",
            }.items()
        )
        self._pool = httpcore.ConnectionPool(
            network_backend=self._guard, max_connections=4, keepalive_expiry=5
        )

    def close(self) -> None:
        """Ends its connections."""
        self._pool.close()

    def get(self, url: str, limit: int, kinds: Sequence[str] = ()) -> Answer:
        """The answer of `url`, with no more than `limit` bytes, unpacked. With `kinds` the body of
        another media type is not read. Raises `InvalidData` with the reason."""
        self._guard.deadline = time.monotonic() + self._seconds
        try:
            with self._pool.stream(
                "GET", _encoded(url), headers=self._headers, extensions={"timeout": _TIMEOUTS}
            ) as response:
                headers = {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                answer = Answer(url, response.status, headers, b"", None)
                if response.status in _REDIRECTS and "location" in headers:
                    return Answer(url, response.status, headers, b"", _sent(headers["location"]))
                if kinds and response.status == 200 and answer.kind not in kinds:
                    raise InvalidData("web.kind", kind=answer.kind or "-", options=kinds)
                said = headers.get("content-length", "")
                if said.isdigit() and int(said) > limit:
                    raise InvalidData("web.large", limit=limit)
                body = _read(response.iter_stream(), headers.get("content-encoding", ""), limit)
                return Answer(url, response.status, headers, body, None)
        except httpcore.TimeoutException:
            raise InvalidData("web.slow", seconds=f"{self._seconds:g}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, zlib.error) as error:
            reason = str(error) or type(error).__name__
            raise InvalidData("web.broken", reason=reason[:200]) from None


def _encoded(url: str) -> str:
    """As it goes over the wire: what is not ASCII is UTF-8 in percents, names are IDNA."""
    from urllib.parse import quote

    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise InvalidData("web.bad_url", url=url[:200]) from None
    host = f"[{host}]" if ":" in host else host
    place = f"{host}:{parts.port}" if parts.port else host
    safe = "!#$%&'()*+,/:;=?@[]~"
    path, query = quote(parts.path or "/", safe=safe), quote(parts.query, safe=safe)
    return parts._replace(netloc=place, path=path, query=query).geturl()


def _sent(location: str) -> str:
    """Where a server sends us on: ASCII by the rule, UTF-8 by habit."""
    try:
        return location.encode("latin-1").decode()
    except UnicodeError:
        return location


def _read(chunks: Iterator[bytes], encoding: str, limit: int) -> bytes:
    """The body, unpacked; nothing is unpacked beyond `limit`."""
    packed = encoding.strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        raise InvalidData("web.broken", reason=f"content-encoding: {packed[:40]}")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if "gzip" in packed else None
    body = bytearray()
    for chunk in chunks:
        body += unpack.decompress(chunk, limit + 1 - len(body)) if unpack else chunk
        if len(body) > limit:
            raise InvalidData("web.large", limit=limit)
    if unpack and not unpack.eof:
        raise InvalidData("web.broken", reason="gzip")
    return bytes(body)

"""HTTP/1.1 as uvicorn speaks it, held within limits: what cannot be parsed gets the one error
shape, headers have a size and a number, and whoever sends or reads too slowly is cut off.

A watch (`Protocol.watch`) looks at all connections once a second, so that a request pays for no
timer of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import struct
import termios
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from feilun.api.errors import BadRequest, HeadersTooLarge, TooSlow, error_body, error_headers
from feilun.api.passing import CALLER, CONNECTION
from feilun.api.security import HEADERS, Limits, Network, inside
from feilun.api.upgrade import OffersIgnored
from feilun.api.whole_answers import Joined
from feilun.errors import FeilunError, Overloaded
from feilun.serving.caller import Caller
from feilun.store.ids import new_id

__all__ = ["MAX_HEADERS", "MAX_HEADER_LINES", "Protocol", "protocol"]

MAX_HEADERS = 64 * 1024
"""Bytes of the request line and all headers of one request."""

MAX_HEADER_LINES = 100
"""Headers of one request."""

LOOK = 1.0
"""Seconds between two looks of the watch."""

_BUSY_SECONDS = 5
_UNSENT = 4096
"""Bytes of a stream that may lie here for a client that does not read."""

# uvicorn warns once for every malformed request, which would let strangers fill the log.
_quiet = logging.getLogger("feilun.api.http")
_quiet.setLevel(logging.ERROR)


class Protocol(OffersIgnored):
    """One connection."""

    limits: ClassVar[Limits] = Limits()
    proxies: ClassVar[Iterable[Network]] = ()
    open: ClassVar[Counter[str]] = Counter()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _quiet
        self._address = ""
        self._head = self._lines = 0
        # Bytes that came since the parser last got anywhere: it holds them in memory.
        self._undigested = 0
        # Since when a head, the reading of an answer, or the end of a refused body is waited for.
        self._head_since: float | None = None
        self._unread_since: float | None = None
        self._linger_since: float | None = None
        # When the present body began, when its last piece came, and how much has come.
        self._body_began = self._body_last = 0.0
        self._body_size = 0
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: one too many is told so."""
        super().connection_made(transport)
        self._head_since = monotonic()
        self._address = str(self.client[0]) if self.client else ""
        self.open[self._address] += 1
        alone = not inside(self._address, self.proxies)
        crowd = alone and self.open[self._address] > self.limits.from_one_address
        if crowd or len(self.connections) > self.limits.connections:
            self._refuse(Overloaded("api.too_many_connections", retry_after=_BUSY_SECONDS))

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: what is done for it alone is interrupted."""
        lost = self.pending()
        super().connection_lost(exc)
        # uvicorn tells the newest request alone; those before it in a pipeline would write on.
        under_way = [self.cycle, self._running, *(cycle for cycle, _ in self.pipeline)]
        for cycle in {cycle for cycle in under_way if cycle is not None}:
            cycle.disconnected = cycle.disconnected or not cycle.response_complete
            cycle.message_event.set()
            _caller_left(cycle, lost)
        self.open[self._address] -= 1
        if self.open[self._address] <= 0:
            del self.open[self._address]

    def eof_received(self) -> None:
        """The client has closed its side: the connection ends, and what is written from now on
        does not leave."""
        lost = self.pending()
        super().eof_received()
        for cycle in {self.cycle, self._running, *(cycle for cycle, _ in self.pipeline)}:
            if cycle is not None:
                _caller_left(cycle, lost)

    def pending(self) -> int:
        """See `feilun.serving.caller.Connection`; Linux knows it."""
        held: int = self.transport.get_write_buffer_size()
        sock = self.transport.get_extra_info("socket")
        try:
            found = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except (AttributeError, OSError, ValueError):
            return held
        return held + int(struct.unpack("i", found)[0])

    def narrow(self) -> None:
        """See `feilun.serving.caller.Connection`."""
        self.transport.set_write_buffer_limits(high=0)
        sock = self.transport.get_extra_info("socket")
        with suppress(AttributeError, OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request, or of several."""
        if self._head_since is None and self._idle:
            self._head_since = monotonic()
        self._undigested += len(data)
        super().data_received(data)
        if self._undigested > MAX_HEADERS and not self.transport.is_closing():
            # One endless header is not seen by the parser's callbacks before its end.
            self._refuse(_too_large())

    @property
    def _idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request
        return cycle is None or cycle.response_complete

    def on_message_begin(self) -> None:
        """A new request on this connection."""
        self._head = self._lines = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count(len(url))
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer after a body in chunks."""
        self._lines += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request begins."""
        self._undigested = 0
        self._head_since = None
        self._body_began = self._body_last = monotonic()
        self._body_size = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._undigested = 0
        self._body_last = monotonic()
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of the body."""
        self._undigested = 0
        self._linger_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written. What is left of a refused body is read for a moment, because a
        client that is still sending would lose the answer if the connection ended now."""
        if self._running is not None:  # an answer without a body
            cast(Joined, self._running.transport).flush()
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._linger_since = monotonic()

    def send_400_response(self, msg: str) -> None:
        """Refuses a request that cannot be parsed, and ends the connection."""
        if self._head > MAX_HEADERS or self._lines > MAX_HEADER_LINES:
            self._refuse(_too_large())
        else:
            self._refuse(BadRequest("api.bad_http"))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = cast(asyncio.Transport, Joined(cycle))
        cast(Any, cycle.scope)[CONNECTION] = self
        super()._start_asgi_task(cycle, app)

    def look(self, now: float) -> None:
        """Ends the connection if its client is too slow. `now` is monotonic."""
        limits = self.limits
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now > self._unread_since + limits.answer:
            self._abort()
            return
        if self.transport.is_closing():
            return
        if self._linger_since is not None and now > self._linger_since + limits.linger:
            self.transport.close()
        elif self._idle:
            if self._head_since is not None and now > self._head_since + limits.head:
                self._refuse(TooSlow("api.headers_too_slow", seconds=limits.head))
        elif self.cycle.more_body and not self.cycle.response_started:
            self._look_at_body(now)

    def _look_at_body(self, now: float) -> None:
        if self.flow.read_paused:  # it is we who do not read
            self._body_last = now
            self._body_began += LOOK
            return
        limits = self.limits
        late = now - self._body_began - limits.body_pause
        if now > self._body_last + limits.body_pause or self._body_size < late * limits.body_rate:
            self._refuse(TooSlow("api.body_too_slow", seconds=limits.body_pause))

    @classmethod
    async def watch(cls, connections: Iterable[Any]) -> None:
        """Looks at all connections of a server for ever."""
        while True:
            await asyncio.sleep(LOOK)
            now = monotonic()
            for connection in list(connections):
                connection.look(now)

    def _abort(self) -> None:
        """Ends the connection and forgets what was not taken, in the system's buffers too: what
        lies there would otherwise wait for the client for minutes."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _count(self, size: int) -> None:
        self._head += size
        # The parser turns it into an error of its own.
        if self._head > MAX_HEADERS or self._lines > MAX_HEADER_LINES:
            raise ValueError("headers too large")

    def _refuse(self, error: FeilunError) -> None:
        """Answers past the app, and ends the connection."""
        request_id = new_id("req_")
        status, body = error_body(error, request_id)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
            *HEADERS,
            *error_headers(error),
        ]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(STATUS_LINE[status] + b"".join(lines) + b"\r\n" + body)
        self.transport.close()


def _caller_left(cycle: RequestResponseCycle, lost: int) -> None:
    who = dict(cycle.scope).get(CALLER)
    if isinstance(who, Caller):
        who.leave(lost)


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge("api.headers_too_large", limit=MAX_HEADERS, lines=MAX_HEADER_LINES)


def protocol(limits: Limits, proxies: Iterable[Network] = ()) -> type[Protocol]:
    """The protocol of one server, with its own count of connections. Those of `proxies` are one
    address for many clients, and may be as many as there may be in all."""
    held = {"limits": limits, "proxies": tuple(proxies), "open": Counter()}
    return type("ServerProtocol", (Protocol,), held)

"""Keeps a server running: a small parent that holds the listening socket and restarts its child.

The parent loads nothing. While the child is away, connections wait in the socket's queue, so that a
crash breaks those under way and delays the rest. A child that falls silent, because it hangs as a
whole or was stopped, is ended and started again.

Parent and child speak over a pair of sockets: the child writes a byte when it is ready and one a
second from its event loop. When the parent is killed, the system kills the child with it (Linux);
elsewhere the child finds it out with its next beat, and stops.
"""

from __future__ import annotations

import ctypes
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import monotonic

from feilun.messages import t

__all__ = ["BEAT_SECONDS", "Link", "supervise"]

log = logging.getLogger("feilun.serving")

VARIABLE = "_FEILUN_LINK"
"""No setting, for the child: listening descriptor, link descriptor, starts before this one, and the
parent's process id."""

BEAT_SECONDS = 1.0
SILENT_SECONDS = 30.0
GRACE_SECONDS = 45.0
_TICK = 0.2
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_LONG_LIFE = 60.0  # seconds after which a child's end is no sequel of the one before
_READY, _BEAT = b"r", b"."
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


class Link:
    """The child's end."""

    def __init__(self, listening: socket.socket, link: socket.socket, starts: int) -> None:
        self.listening = listening
        self.starts = starts
        self._link = link

    @classmethod
    def found(cls) -> Link | None:
        """The link that the parent of this process made; None where it has no such parent."""
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return None
        listening, link, starts, parent = map(int, text.split(","))
        _die_with_parent(parent)
        return cls(socket.socket(fileno=listening), socket.socket(fileno=link), starts)

    def ready(self) -> None:
        """Calls are answered from now on."""
        self._say(_READY)

    def beat(self) -> None:
        """The event loop still turns."""
        self._say(_BEAT)

    def _say(self, word: bytes) -> None:
        try:
            self._link.send(word)
        except OSError:  # the parent is gone: who would stop or restart this process now?
            signal.raise_signal(signal.SIGTERM)


def supervise(
    listening: socket.socket,
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    silent_seconds: float = SILENT_SECONDS,
) -> int:
    """Runs `command` over `listening` until it ends by itself or this process is told to stop
    (SIGINT, SIGTERM); its exit code. One that ends otherwise after it was ready is started again,
    at once and then ever more slowly. In the main thread."""
    asked = _Asked()
    pause, starts, was_ready = _FIRST_PAUSE, 0, False
    with asked.listening():
        while True:
            began = monotonic()
            child = _Child(listening, command, environment, starts)
            code = child.watch(asked, silent_seconds)
            was_ready = was_ready or child.ready
            if asked.times or code == 0 or not was_ready:
                return max(code, 0) if asked.times else code
            if monotonic() - began > _LONG_LIFE:
                pause = _FIRST_PAUSE
            how = signal.Signals(-code).name if code < 0 else str(code)
            log.error("%s", t("serving.restarted", "en", how=how, seconds=pause))
            if asked.wait(pause):
                return 0
            pause = min(2 * pause, _LONGEST_PAUSE)
            starts += 1


def _die_with_parent(parent: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    # Killed before that, it could not take this process with it any more.
    if os.getppid() != parent:
        sys.exit(1)


class _Asked:
    """How often this process was told to stop."""

    def __init__(self) -> None:
        self.times = 0
        self._event = threading.Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        def handle(*_: object) -> None:
            self.times += 1
            self._event.set()

        before = {number: signal.signal(number, handle) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Child:
    """One life of the server."""

    def __init__(
        self,
        listening: socket.socket,
        command: Sequence[str],
        environment: Mapping[str, str] | None,
        starts: int,
    ) -> None:
        self.ready = False
        self._link, theirs = socket.socketpair()
        self._link.setblocking(False)
        fds = (listening.fileno(), theirs.fileno())
        told = {VARIABLE: f"{fds[0]},{fds[1]},{starts},{os.getpid()}"}
        self._process = subprocess.Popen(
            command,
            pass_fds=fds,
            env={**(os.environ if environment is None else environment), **told},
            start_new_session=True,  # Ctrl-C is for the parent, which stops the child in order
        )
        theirs.close()

    def watch(self, asked: _Asked, silent_seconds: float) -> int:
        """Waits for the end; its exit code, negative for a signal."""
        told, killed_at = 0, 0.0
        silent = 0.0  # counted in looks: a machine that slept finds nobody silent
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._link, selectors.EVENT_READ)
                while (code := self._process.poll()) is None:
                    before = monotonic()
                    if selector.select(_TICK):
                        silent = 0.0 if self._hear(selector) else silent
                    silent += min(monotonic() - before, _TICK)
                    if asked.times > told:
                        self._tell(asked.times)
                        told = asked.times
                        killed_at = killed_at or monotonic() + GRACE_SECONDS
                    if killed_at and monotonic() > killed_at:
                        self._process.kill()
                    if self.ready and silent > silent_seconds:
                        log.error("%s", t("serving.silent", "en", seconds=silent))
                        self._process.kill()
        finally:
            self._link.close()
        return code

    def _hear(self, selector: selectors.BaseSelector) -> bool:
        try:
            words = self._link.recv(4096)
        except OSError:
            return False
        if not words:  # it has closed its end: its exit follows
            with suppress(KeyError):
                selector.unregister(self._link)
            threading.Event().wait(_TICK / 4)
            return False
        self.ready = self.ready or _READY in words
        return True

    def _tell(self, times: int) -> None:
        """The first time politely; whoever asks again wants it now."""
        if times == 1:
            self._process.terminate()
            # One that was stopped could not obey.
            self._process.send_signal(signal.SIGCONT)
        else:
            self._process.kill()

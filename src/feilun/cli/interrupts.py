"""Ctrl-C ends a command within two seconds, wherever it is.

Python hears of it between two steps of its own code: a long computation of a library, or a step
in another thread, would keep it waiting. The system tells a watching thread at once. What can end
in an orderly way by then does; the rest is ended, which loses nothing: every step can be killed at
any moment.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from feilun.cli.failures import INTERRUPTED, interrupted

__all__ = ["ends_soon"]

_PATIENCE = 1.5
"""Seconds in which a command may end by itself."""


@contextmanager
def ends_soon(as_json: bool, out: TextIO | None = None) -> Iterator[None]:
    """As long as this lasts, an interruption ends the process, if it has not ended by then. `out`
    is where the one JSON object goes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    over = threading.Event()
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(
        target=_watch, args=(ours, over, as_json, out), name="feilun-interrupts", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        with suppress(OSError):
            theirs.close()  # which wakes the thread up
        watch.join()
        ours.close()


def _watch(ours: socket.socket, over: threading.Event, as_json: bool, out: TextIO | None) -> None:
    while heard := ours.recv(1):
        if heard[0] == signal.SIGINT:
            break
    else:
        return
    if over.wait(_PATIENCE):
        return
    if sys.stderr.isatty():
        print("\x1b[?25h", end="", file=sys.stderr)  # the bars had hidden the cursor
    with redirect_stdout(out or sys.stdout):
        interrupted(sys.argv[1:], as_json)
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)

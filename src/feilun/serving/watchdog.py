"""Notices engines that hang, and has them replaced.

An engine hangs when one batch does not end (`info["oldest"]`), or, where an engine says nothing of
its batches, when calls wait and none is answered. Time is counted in looks, not by the clock: a
process that was stopped for a while, or a machine that slept, finds nothing hanging when it wakes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from feilun.serving.residents import Residents
from feilun.serving.served import Served

__all__ = ["LOOK_SECONDS", "Watchdog"]

log = logging.getLogger("feilun.serving")

LOOK_SECONDS = 0.5


@dataclass(slots=True)
class _Seen:
    mark: Any
    looks: int = 0


class Watchdog:
    """Call `look` every `LOOK_SECONDS`, on the event loop's thread."""

    def __init__(self, residents: Residents) -> None:
        self._residents = residents
        self._seen: dict[Served, _Seen] = {}
        self.replaced = 0

    def look(self, everything: Iterable[Served]) -> None:
        """Replaces what has hung for longer than its ``serving.hang_seconds``: its calls are
        tried once more on the engine that is opened in its place."""
        alive = {}
        for served in everything:
            mark = _mark(served)
            if mark is None:
                continue
            seen = self._seen.get(served)
            if seen is None or seen.mark != mark:
                seen = _Seen(mark)
            seen.looks += 1
            if (seen.looks - 1) * LOOK_SECONDS >= served.serving.hang_seconds:
                self._replace(served)
            else:
                alive[served] = seen
        self._seen = alive

    def _replace(self, served: Served) -> None:
        log.error("%s hangs: its engine is replaced", served.id)
        self.replaced += 1
        self._residents.abandon(served)
        served.interrupt_all()


def _mark(served: Served) -> Any:
    """Something that changes as long as the engine gets on; None while it has nothing to do."""
    if served.engine is None or not served.busy:
        return None
    info = served.engine.info
    if "oldest" in info:
        return info["oldest"]
    return (id(served.engine), served.admission.answered)

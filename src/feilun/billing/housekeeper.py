"""What the ledger needs from time to time: holds that ended by themselves, roots of finished days,
answers that need not be kept for retries any more."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from feilun.billing.holds import release_expired
from feilun.errors import FeilunError
from feilun.store.ledger import Ledger
from feilun.store.ledger_roots import export_root

__all__ = ["Housekeeper"]

log = logging.getLogger("feilun.billing")

HOLDS_SECONDS = 5.0
REST_SECONDS = 600.0


class Housekeeper:
    """Keeps `ledger` in a thread of its own, and writes daily roots into the folder `roots`. Any
    number of processes may keep one ledger."""

    def __init__(self, ledger: Ledger, roots: Path) -> None:
        self._ledger = ledger
        self._roots = roots
        self._stop = Event()
        self._rested = 0.0
        self._thread = Thread(target=self._run, name="feilun-housekeeper", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Stops after what is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def turn(self) -> None:
        """Does what is due. Raises `EnvironmentProblem` when the database is away."""
        release_expired(self._ledger)
        if self._rested and monotonic() < self._rested + REST_SECONDS:
            return
        self._ledger.make_roots()
        for root in self._ledger.roots():
            export_root(root, self._roots)
        self._ledger.forget_answers()
        self._rested = monotonic()

    def _run(self) -> None:
        while not self._stop.wait(HOLDS_SECONDS):
            try:
                self.turn()
            except FeilunError as error:
                log.warning("the ledger could not be kept: %s", error.message("en"))
            except Exception:
                log.exception("the ledger's housekeeper stumbled")

"""Signs of life of a long pass, a few a second."""

from __future__ import annotations

import time
from collections.abc import Callable

from feilun.types import Progress

__all__ = ["Ticker"]

_SECONDS = 0.2


class Ticker:
    """Tells `report` how far a pass is; does nothing without one."""

    def __init__(self, report: Callable[[Progress], None] | None) -> None:
        self._report = report
        self._next = 0.0
        self.begin("read", 0, "rows", None)

    def begin(
        self, step: str, total: float, unit: str, position: Callable[[], float] | None
    ) -> None:
        """A pass over `total` units begins. `position` says how many are done; rows otherwise."""
        self._step, self._total, self._unit, self._position = step, total, unit, position

    def __call__(self, rows: int, last: bool = False) -> None:
        """So many rows are done."""
        if self._report is None:
            return
        now = time.monotonic()
        if now < self._next and not last:
            return
        self._next = now + _SECONDS
        in_rows = self._unit == "rows" or self._position is None
        done = float(rows) if in_rows or self._position is None else self._position()
        total = max(self._total, done) if last and self._total else self._total
        self._report(
            Progress(
                self._step,
                total if last and total else done,
                total,
                self._unit,
                {"rows": float(rows)},
            )
        )

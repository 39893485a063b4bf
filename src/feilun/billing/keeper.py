"""Keeps a server's shares of limits alive, gives back what is not used, notices other servers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic

from feilun.billing.limiter import Limits
from feilun.errors import EnvironmentProblem
from feilun.store.store import Store

__all__ = ["KEEP_SECONDS", "Keeper"]

log = logging.getLogger("feilun.billing")

KEEP_SECONDS = 5.0
"""Between two signs of life: a slice outlives three that fail."""


class Keeper:
    """Renews what `limits` holds. `start` it before the first call; after the last one is on
    record, `stop` gives everything back."""

    def __init__(self, limits: Limits, store: Store, *, pause: float = KEEP_SECONDS) -> None:
        self._limits = limits
        self._store = store
        self._pause = pause
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Looks once, then every few seconds. Raises `EnvironmentProblem` when the catalog cannot
        be read."""
        await self._look_around()
        self._task = asyncio.create_task(self._run(), name="feilun-keeper")

    async def stop(self) -> None:
        """Gives back what is left. A database that is away keeps it until it is no longer
        counted."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with suppress(EnvironmentProblem):
            await asyncio.to_thread(self._store.allowances.release, self._limits.sharing.writer())
        for lease in self._limits.leases():
            lease.lapse()

    async def turn(self) -> None:
        """One sign of life. Raises `EnvironmentProblem` when a database is away."""
        await self._look_around()
        limits = self._limits
        if any(lease.holds for lease in limits.leases()):
            begun, writer = monotonic(), limits.sharing.writer()
            held = await asyncio.to_thread(self._store.allowances.renew, writer)
            for lease in limits.leases():
                if lease.name in held:
                    lease.renewed(begun, writer)
        for lease in list(limits.leases()):
            if lease.idle:
                await lease.shrink()
        limits.forget(f"{datetime.now(UTC):%Y-%m}")

    async def _look_around(self) -> None:
        servers = await asyncio.to_thread(self._store.catalog.servers)
        self._limits.sharing.others = len(servers) > 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self.turn()
            except EnvironmentProblem as error:
                log.warning("shares of limits cannot be renewed: %s", error.message("en"))
            except Exception:
                log.exception("the keeper of limits stumbled")

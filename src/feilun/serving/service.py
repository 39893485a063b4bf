"""What a server holds: the store, the loaded versions, and a watch over the catalog.

The catalog's epoch grows with every change of deployments, keys and prices. The watch asks for it
twice a second; when it grew, the versions are brought up to date and everyone who subscribed is
told. A server finds out about a promotion, a rollback or a revoked key without being called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from feilun.errors import EnvironmentProblem
from feilun.serving.models import Models
from feilun.store.records import Server
from feilun.store.store import Store

__all__ = ["Service"]

log = logging.getLogger("feilun.serving")

HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 10.0


class Service:
    """One server's view of a workspace. `poll` is the seconds between looks at the catalog;
    `streams` and `threads` are the engines' (default: their own choice)."""

    def __init__(
        self,
        store: Store,
        *,
        poll: float = 0.5,
        streams: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.store = store
        self.models = Models(store.catalog, store.artifacts, streams=streams, threads=threads)
        self._poll = poll
        self._epoch = -1
        self._subscribers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: Server | None = None
        self._tried = 0.0

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Calls `changed` in a thread at the start and whenever the catalog has changed."""
        self._subscribers.append(changed)

    async def start(self) -> None:
        """Loads what is live and begins to watch. Raises `EnvironmentProblem` when the catalog
        cannot be read; a version that cannot be loaded is noted in `models.failures`."""
        await self._look()
        self._tasks.append(asyncio.create_task(self._run(), name="feilun-watch"))

    async def register(self, host: str, port: int, address: str) -> None:
        """Tells the other processes of the workspace where this server answers."""
        self._server = await asyncio.to_thread(
            self.store.catalog.register_server, host, port, address
        )
        self._tasks.append(asyncio.create_task(self._beat(self._server), name="feilun-beat"))

    async def stop(self) -> None:
        """Ends the watch, unregisters, closes the engines."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            with suppress(EnvironmentProblem):
                await asyncio.to_thread(self.store.catalog.unregister_server, self._server.id)
        await self.models.close()

    async def look_now(self) -> None:
        """Looks at the catalog at once instead of at the next turn."""
        await self._look()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            try:
                await self._look()
            except EnvironmentProblem as error:  # what is loaded goes on answering
                log.warning("the catalog cannot be read: %s", error.message("en"))
            except Exception:
                log.exception("the watch over the catalog stumbled")

    async def _look(self) -> None:
        epoch = await asyncio.to_thread(self.store.catalog.epoch)
        again = bool(self.models.failures) and monotonic() > self._tried + RETRY_SECONDS
        if epoch != self._epoch or again:
            self._tried = monotonic()
            for changed in self._subscribers:
                await asyncio.to_thread(changed)
            await self.models.refresh()
            self._epoch = epoch
        self.models.expire()

    async def _beat(self, server: Server) -> None:
        """A task of its own, because loading a large version takes longer than a beat."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await asyncio.to_thread(self.store.catalog.heartbeat_server, server)
            except EnvironmentProblem as error:
                log.warning("the catalog takes no heartbeat: %s", error.message("en"))

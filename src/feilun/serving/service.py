"""What a server holds: the store, the loaded versions, and a watch over the catalog.

The catalog's epoch grows with every change of deployments, keys and prices. The watch asks for it
twice a second; when it grew, the versions are brought up to date and everyone who subscribed is
told. A server finds out about a promotion, a rollback or a revoked key without being called.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any

from feilun.errors import EnvironmentProblem
from feilun.serving.models import Models
from feilun.serving.shadow import PREFIX
from feilun.serving.watchdog import LOOK_SECONDS
from feilun.store.records import Server
from feilun.store.store import Store

__all__ = ["Service"]

log = logging.getLogger("feilun.serving")

HEARTBEAT_SECONDS = 5.0
RETRY_SECONDS = 10.0
_PULSE_SECONDS = 0.05
_NEWEST = 0.2  # weight of the last pulse in the loop's lag


class Service:
    """One server's view of a workspace. `poll` is the seconds between looks at the catalog;
    `streams` and `threads` are the engines' (default: their own choice), `memory` the bytes that
    they may take together (default: no bound)."""

    def __init__(
        self,
        store: Store,
        *,
        poll: float = 0.5,
        streams: int | None = None,
        threads: int | None = None,
        memory: int | None = None,
    ) -> None:
        self.store = store
        self.models = Models(
            store.catalog, store.artifacts, streams=streams, threads=threads, memory=memory
        )
        self._poll = poll
        self._epoch = -1
        self._subscribers: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: Server | None = None
        self._tried = 0.0
        self._told: dict[int, dict[str, Any]] = {}

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Calls `changed` in a thread at the start and whenever the catalog has changed."""
        self._subscribers.append(changed)

    async def start(self) -> None:
        """Loads what is live and begins to watch. Raises `EnvironmentProblem` when the catalog
        cannot be read; a version that cannot be loaded is noted in `models.failures`."""
        await self._look()
        self._begin(self._run(), "feilun-watch")
        self._begin(self._pulse(), "feilun-pulse")
        self._begin(self._guard(), "feilun-guard")

    async def register(self, host: str, port: int, address: str) -> None:
        """Tells the other processes of the workspace where this server answers."""
        self._server = await asyncio.to_thread(
            self.store.catalog.register_server, host, port, address
        )
        self._begin(self._beat(self._server), "feilun-beat")

    async def stop(self) -> None:
        """Ends the watch, unregisters, closes the engines."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            with suppress(EnvironmentProblem):
                await self._tell_shadows(self._server)
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
                await self._tell_shadows(server)
            except EnvironmentProblem as error:
                log.warning("the catalog takes no heartbeat: %s", error.message("en"))

    async def _tell_shadows(self, server: Server) -> None:
        """Keeps in the catalog what shadows have found, for `feilun status`."""
        for id_, shadow in self.models.shadows().items():
            counts = shadow.counts.to_json()
            if counts != self._told.get(id_):
                key = f"{PREFIX}{id_}:{server.id}"
                await asyncio.to_thread(self.store.catalog.set_setting, key, counts)
                self._told[id_] = counts

    async def _pulse(self) -> None:
        """How late the event loop is: what every call waits before anything else."""
        gate = self.models.gate
        while True:
            before = monotonic()
            await asyncio.sleep(_PULSE_SECONDS)
            late = max(0.0, monotonic() - before - _PULSE_SECONDS)
            gate.lag += (late - gate.lag) * _NEWEST

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self.models.watch()
            except Exception:
                log.exception("the watch over the engines stumbled")

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

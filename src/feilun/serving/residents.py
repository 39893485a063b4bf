"""Which engines are in memory, within a budget.

Without a budget all stay. With one, an engine that does not fit is loaded when it is called, and
the ones that were called longest ago leave for it; never one that is being called. Sizes are
measured: how much the process has grown by loading one, at least the size of its files.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count, cycle, islice
from pathlib import Path
from time import monotonic, perf_counter
from typing import Protocol

from feilun.config import ServingConfig
from feilun.engines.base import Engine, open_engine
from feilun.errors import EnvironmentProblem, Overloaded
from feilun.serving.admission import Admission
from feilun.tasks.base import TaskBase

__all__ = ["Resident", "Residents"]

log = logging.getLogger("feilun.serving")

_PATIENCE = 30.0  # seconds that a call waits for others to leave room
_POLL = 0.02
_REHEARSED = 8  # inputs that tell how fast an engine is, before anybody calls
_WARMING = 2.0  # times ``serving.hang_seconds`` that a rehearsal may take: it compiles as well


class Resident(Protocol):
    """A version whose engine comes and goes: `busy` counts the calls that need it now, `called`
    tells which was called longest ago; `closed` is one that nobody will call again."""

    ref: str
    folder: Path
    task: TaskBase
    serving: ServingConfig
    engine: Engine | None
    admission: Admission
    busy: int
    called: int

    @property
    def id(self) -> str:
        """The version's name."""

    @property
    def closed(self) -> bool:
        """Whether it has been retired and nobody is in any more."""

    def loaded(self, engine: Engine) -> None:
        """Takes an engine."""


class Residents:
    """The loaded engines of one server. `budget` are bytes, None for no bound. On the event loop's
    thread only; engines open and close beside it."""

    def __init__(
        self,
        *,
        budget: int | None = None,
        streams: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.budget = budget
        self._streams = streams
        self._threads = threads
        self._lock = asyncio.Lock()
        self._held: dict[Resident, int] = {}
        self._sizes: dict[str, int] = {}
        self._loading: dict[Resident, asyncio.Task[Engine]] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._clock = count()
        self.loads = 0
        self.unloads = 0

    @property
    def used(self) -> int:
        """Bytes that the loaded engines take."""
        return sum(self._held.values())

    def size(self, served: Resident) -> int:
        """What it takes, measured or, before it was ever loaded, the size of its files."""
        known = self._sizes.get(served.ref)
        if known is None:
            known = self._sizes[served.ref] = _bytes(served.folder)
        return known

    def fits(self, served: Resident) -> bool:
        """Whether it can be loaded without another one leaving."""
        return self.budget is None or self.used + self.size(served) <= self.budget

    def touch(self, served: Resident) -> None:
        """It is being called now."""
        served.called = next(self._clock)

    async def bring(self, served: Resident) -> Engine:
        """Its engine, loaded if it is not. Whoever asks has made `served.busy`, so that it does
        not leave at once.

        Raises `Overloaded` when those that are being called leave no room in time, and
        `CorruptArtifact` for a version that was tampered with.
        """
        if served.engine is not None:
            return served.engine
        task = self._loading.get(served)
        if task is None:
            # A task of its own: a caller who goes away does not stop what others wait for.
            task = asyncio.create_task(self._bring(served), name="feilun-load")
            self._loading[served] = task
            task.add_done_callback(lambda done: self._loaded(served, done))
        return await asyncio.shield(task)

    def drop(self, served: Resident) -> None:
        """Unloads it, for good or until it is called again."""
        engine, served.engine = served.engine, None
        self._held.pop(served, None)
        if engine is not None:
            self.unloads += 1
            self._close(engine.close)

    def abandon(self, served: Resident) -> None:
        """Forgets an engine that hangs; the next call opens another one."""
        engine, served.engine = served.engine, None
        self._held.pop(served, None)
        give_up = getattr(engine, "abandon", None)
        if give_up is not None:
            self._close(give_up)

    async def close(self) -> None:
        """Unloads everything and waits until it is closed."""
        for task in list(self._loading.values()):
            with suppress(Exception):
                await task
        for served in list(self._held):
            self.drop(served)
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _loaded(self, served: Resident, task: asyncio.Task[Engine]) -> None:
        self._loading.pop(served, None)
        if not task.cancelled():
            task.exception()  # told to those who waited; nobody has to have waited

    async def _bring(self, served: Resident) -> Engine:
        async with self._lock:
            if served.engine is not None:
                return served.engine
            await self._make_room(served)
            before = _resident()
            engine = await asyncio.to_thread(self._open, served)
            pace = await _rehearsed(engine, served)
            size = max(_resident() - before, _bytes(served.folder))
            self._sizes[served.ref] = size
            self._held[served] = size
            served.loaded(engine)
            served.admission.expect(pace)
            self.loads += 1
            self.touch(served)
            # It may be larger than its files had said.
            self._leave_for(0, served)
            if served.closed:  # it was retired while it came
                self.drop(served)
        return engine

    async def _make_room(self, served: Resident) -> None:
        until = monotonic() + _PATIENCE
        while not self._leave_for(self.size(served), served):
            if monotonic() > until:
                raise Overloaded("serving.no_room", version=served.id, retry_after=5.0)
            await asyncio.sleep(_POLL)

    def _leave_for(self, need: int, wanted: Resident) -> bool:
        """Unloads what was called longest ago until `need` bytes are free; whether they are. One
        that is larger than the whole budget is loaded when nothing else is."""
        while self.budget is not None and self.used + need > self.budget:
            others = [served for served in self._held if served is not wanted]
            if not others:
                if need > self.budget:
                    log.warning(
                        "%s takes %d bytes, more than the budget of %d",
                        wanted.id, need, self.budget,
                    )  # fmt: skip
                return True
            idle = [served for served in others if not served.busy]
            if not idle:
                return False
            oldest = min(idle, key=lambda served: served.called)
            log.info("%s leaves memory for %s", oldest.id, wanted.id)
            self.drop(oldest)
        return True

    def _open(self, served: Resident) -> Engine:
        start = perf_counter()
        engine = open_engine(served.folder, streams=self._streams, threads=self._threads)
        log.info("loaded %s in %.2f s", served.id, perf_counter() - start)
        return engine

    def _close(self, close: Callable[[], None]) -> None:
        """Closing waits for threads, so it happens beside the event loop."""

        def work() -> None:
            close()
            _give_back()

        future = asyncio.get_running_loop().run_in_executor(None, work)
        self._closing.add(future)
        future.add_done_callback(self._closing.discard)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def _rehearsed(engine: Engine, served: Resident) -> float:
    """Warms the engine up; the seconds that an input of a full batch takes it. One that hangs is
    given up, so that it holds up neither its callers nor other versions: raises
    `EnvironmentProblem`, as for a call that an engine hung on."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[float] = loop.create_future()

    def tell(pace: float, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(pace)
        else:
            done.set_exception(error)

    def work() -> None:
        pace, failure = 0.0, None
        try:
            engine.warm_up()
            pace = _pace(engine, served)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            failure = error
        with suppress(RuntimeError):  # the server has gone meanwhile
            loop.call_soon_threadsafe(tell, pace, failure)

    # A thread that nothing waits for: one of the pool would keep the process from ending.
    threading.Thread(target=work, name="feilun-rehearsal", daemon=True).start()
    try:
        return await asyncio.wait_for(done, _WARMING * served.serving.hang_seconds)
    except TimeoutError:
        log.error("%s hangs while it is opened: its engine is given up", served.id)
        give_up = getattr(engine, "abandon", None)
        if give_up is not None:
            await asyncio.to_thread(give_up)
        raise EnvironmentProblem("engines.abandoned") from None
    except BaseException:
        await asyncio.to_thread(engine.close)
        raise


def _pace(engine: Engine, served: Resident) -> float:
    if engine.info.get("remote"):
        return 0.0  # its answers may cost money
    items = list(islice(cycle(served.task.example_items()), _REHEARSED))
    start = perf_counter()
    engine.predict(items)
    return (perf_counter() - start) / len(items)


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


def _give_back() -> None:
    """Freed memory goes back to the system, which the C library else keeps for itself."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)

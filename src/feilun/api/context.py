"""What the routes of one app share: the service, keys, prices, the meter, the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from feilun.api.claim import Retries
from feilun.api.metrics import Metrics
from feilun.api.security import Security, of_request
from feilun.api.serving_metrics import ServingCollector
from feilun.billing.attempts import Attempts
from feilun.billing.housekeeper import Housekeeper
from feilun.billing.keeper import Keeper
from feilun.billing.keys import KeyRing, require
from feilun.billing.limiter import Limits
from feilun.billing.meter import Meter
from feilun.billing.prices import CostCarry
from feilun.billing.rating import RateBook
from feilun.errors import RateLimited, Unauthorized
from feilun.serving.internal import check_token
from feilun.serving.service import Service
from feilun.store.ledger_roots import FOLDER
from feilun.store.records import ApiKey

__all__ = ["Api"]

_LOOK_PAUSE = 0.1


class Api:
    """One app's state. Enter `running` while it answers."""

    def __init__(self, service: Service, security: Security | None = None) -> None:
        self.service = service
        self.security = security or Security()
        self.attempts = Attempts(self.security.limits.wrong_keys)
        self.models = service.models
        self.keys = KeyRing(service.store.keys)
        self.rates = RateBook(service.store.catalog)
        self.limits = Limits(service.store, self.rates)
        self.metrics = Metrics()
        self.metrics.registry.register(ServingCollector(self.models))
        self.costs = CostCarry()
        self.retries = Retries()
        self.ending: set[asyncio.Task[Any]] = set()
        """Ends of streams that are being written down, whoever has gone meanwhile."""
        self._meter: Meter | None = None
        self._secret = ""
        self._look_lock = asyncio.Lock()
        self._looks = 0
        self._looked = 0.0
        service.subscribe(self._reload)

    @property
    def meter(self) -> Meter:
        """The ledger's committer; there is one only while the app runs."""
        if self._meter is None:
            raise RuntimeError("the app is not running: enter Api.running first")
        return self._meter

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Loads what is live, opens the meter; on the way out finishes what was begun.

        Raises `EnvironmentProblem` when the workspace's databases cannot be read.
        """
        self._secret = await asyncio.to_thread(self.service.store.secret)
        self._meter = Meter(self.service.store.ledger, self.keys)
        keeper = Keeper(self.limits, self.service.store)
        roots = self.service.store.folder.parent / FOLDER
        housekeeper = Housekeeper(self.service.store.ledger, roots)
        try:
            await self.service.start()
            await keeper.start()
            housekeeper.start()
            yield
        finally:
            await self.service.stop()
            await asyncio.gather(*self.ending, return_exceptions=True)
            await asyncio.to_thread(self._meter.close)
            await asyncio.to_thread(housekeeper.close)
            await keeper.stop()

    async def authorise(
        self, headers: Mapping[bytes, bytes], scope: str | None = "predict"
    ) -> ApiKey:
        """The key of a request, which has `scope` (None: any key that works will do).

        Raises `Unauthorized`, `Forbidden` when it lacks the scope, and `RateLimited` when the
        client's address has tried too many keys that do not work.
        """
        secret = bearer(headers)
        if secret and not self.keys.knows(secret):
            self._may_fail()
            await self._look_again()
        try:
            key = self.keys.find(secret)
        except Unauthorized:
            if secret:
                self._failed()
            raise
        if scope is not None:
            require(key, scope)
        return key

    def _may_fail(self) -> None:
        """Raises `RateLimited` when the caller's address has failed too often of late."""
        wait = self.attempts.wait(of_request(self.security.proxies))
        if wait > 0:
            raise RateLimited("api.too_many_attempts", retry_after=wait)

    def _failed(self) -> None:
        """Counts one wrong secret against the caller's address, and refuses one too many."""
        self._may_fail()
        self.attempts.failed(of_request(self.security.proxies))

    async def _look_again(self) -> None:
        """A key that is not on the ring may have been made a moment ago: waits for a look at the
        catalog that begins after now. All who wait share one, and there are ten a second at most,
        so that wrong keys cannot keep the database busy."""
        seen = self._looks
        async with self._look_lock:
            if self._looks > seen:
                return
            await asyncio.sleep(max(0.0, self._looked + _LOOK_PAUSE - monotonic()))
            self._looks += 1
            self._looked = monotonic()
            await asyncio.to_thread(self._catch_up)

    def _reload(self) -> None:
        """Prices and limits are read after the keys and are there before them: a key that is known
        is charged by the plan that its customer had when it was made."""
        keys = self.keys.read()
        self.rates.reload()
        self.limits.reload()
        self.keys.show(keys)

    def _catch_up(self) -> None:
        """The same where something has changed. A key made a moment ago may belong to a customer
        made a moment ago, with its plan."""
        keys = self.keys.read() if self.keys.behind() else None
        if self.rates.look_again():
            self.limits.reload()
        if keys is not None:
            self.keys.show(keys)

    def authorise_internal(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises `Unauthorized` unless the request comes from the workspace's own processes."""
        if not self.is_internal(headers):
            self._failed()
            raise Unauthorized("api.not_internal")

    def is_internal(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request bears the workspace's internal token."""
        return check_token(self._secret, bearer(headers).decode("latin-1"))


def bearer(headers: Mapping[bytes, bytes]) -> bytes:
    """What ``Authorization: Bearer`` carries; empty without one."""
    scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
    return secret.strip() if scheme.lower() == b"bearer" else b""

"""One call's way through the limits of its key, its customer and its customer's plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, Self

from feilun.billing.currency import exact_text
from feilun.billing.leases import Lease
from feilun.billing.limiter import Gate, Limits, month_end
from feilun.billing.rating import Line
from feilun.errors import PaymentRequired, QuotaExceeded, RateLimited
from feilun.store.records import ApiKey

__all__ = ["Admission"]


class Admission:
    """One call's way through the limits. `warning` is what the answer says of a budget that is
    nearly used up, None where there is nothing to say."""

    __slots__ = (
        "_endpoint",
        "_gates",
        "_held",
        "_inputs",
        "_key",
        "_limits",
        "_lines",
        "_money",
        "_most",
        "_project",
        "_quotas",
        "_slots",
        "_units",
        "_volumes",
    )

    def __init__(
        self,
        limits: Limits,
        key: ApiKey,
        project: str,
        endpoint: str,
        inputs: int,
        most: tuple[Mapping[str, int], int] | None = None,
    ) -> None:
        """`most` are the units of a call that holds them before it begins, and what they may come
        to; else both are reckoned from what calls usually use."""
        self._limits = limits
        self._key = key
        self._project = project
        self._endpoint = endpoint
        self._inputs = inputs
        self._most = most
        self._held = 0
        self._gates: tuple[Gate, ...] = ()
        self._slots: list[Lease] = []
        self._quotas: list[Lease] = []
        self._money: list[tuple[Gate, Lease, int]] = []
        self._lines: tuple[Line, ...] = ()
        self._units: dict[str, int] = {}
        self._volumes: dict[str, int] | None = None

    async def __aenter__(self) -> Self:
        """Raises `RateLimited` or `QuotaExceeded` with what was exceeded and when to come again,
        `PaymentRequired` where the balance does not cover the call,
        `EnvironmentProblem` when a share is needed and the database is away."""
        self._gates = self._limits.gates(self._key)
        if not self._gates:
            return self
        try:
            for gate in self._gates:
                await self._take_rate(gate)
            for gate in self._gates:
                await self._take_slot(gate)
            for gate in self._gates:
                await self._take_inputs(gate)
            await self._take_money()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def held(self) -> None:
        """The hold is on record: from now on the ledger counts it."""
        for _, lease, taken in self._money:
            lease.settle(taken, taken)
            self._held = taken
        self._money = [(gate, lease, 0) for gate, lease, _ in self._money]

    def settle(self, units: Mapping[str, int], amount: int | None = None) -> None:
        """The call is on record with `units` and `amount` (default: what its prices give where the
        month stands, as far as this server knows)."""
        inputs = units.get("inputs", self._inputs)
        for lease in self._quotas:
            lease.settle(self._inputs, inputs)
        self._quotas.clear()
        self._learn(units, inputs)
        if self._volumes is None:
            return
        came_to = self._price(units, self._units)
        final = came_to if amount is None else amount
        for _, lease, taken in self._money:
            if self._held:  # what it left over is free for whoever asks the ledger
                lease.spent += final - self._held
            else:
                lease.settle(taken, final)
        # Kept for the headers; nothing of it is given back any more.
        self._money = [(gate, lease, 0) for gate, lease, _ in self._money]
        self._units, self._held = {}, 0

    def allowance(self) -> tuple[int, int, float] | None:
        """The rate as headers tell it: its burst, the calls that may begin at once, the seconds
        until all of it may; of several rates the one with the fewest left."""
        buckets = [gate.bucket for gate in self._gates if gate.bucket is not None]
        if not buckets:
            return None
        least = min(buckets, key=lambda bucket: bucket.remaining)
        return least.burst, least.remaining, least.full_in

    def warning(self) -> str | None:
        """What is told of a budget that is used up to its mark: ``used=10.02; warn_at=10.00;
        limit=12.50; currency=EUR; of=key``."""
        for gate, lease, _ in self._money:
            mark = gate.settings.warning
            if mark is None or lease.spent < mark:
                continue
            currency = (lease.counted and lease.counted.currency) or ""
            said = [f"used={exact_text(lease.spent, currency)}", f"warn_at={gate.settings.warn_at}"]
            if gate.settings.monthly_budget is not None:
                said.append(f"limit={gate.settings.monthly_budget}")
            return "; ".join([*said, f"currency={currency}", f"of={gate.whose}"])
        return None

    async def _take_rate(self, gate: Gate) -> None:
        bucket = gate.bucket
        if bucket is None:
            return
        wait = bucket.take()
        if wait < 0:
            wait = await bucket.ask()
        if wait > 0:
            raise RateLimited(
                f"billing.{gate.whose}_too_fast",
                limit=f"{bucket.rate:g}",
                burst=bucket.burst,
                seconds=f"{wait:.2f}",
                retry_after=wait,
                allowance=self.allowance(),
            )

    async def _take_slot(self, gate: Gate) -> None:
        slots = gate.slots
        if slots is None:
            return
        if not slots.take(1) and not await slots.ask(1):
            raise RateLimited(
                f"billing.{gate.whose}_too_many_at_once",
                limit=slots.limit,
                retry_after=1,
                allowance=self.allowance(),
            )
        self._slots.append(slots)

    async def _take_inputs(self, gate: Gate) -> None:
        quota = gate.quota
        if quota is None:
            return
        if not quota.take(self._inputs) and not await quota.ask(self._inputs):
            self._refuse(
                f"billing.{gate.whose}_quota_used",
                limit=f"{quota.limit:,}",
                used=f"{quota.spent + quota.pending:,}",
                asked=self._inputs,
            )
        self._quotas.append(quota)

    async def _take_money(self) -> None:
        prepaid = any(gate.settings.prepaid for gate in self._gates)
        if not prepaid and all(
            gate.settings.budget is None and gate.settings.warning is None for gate in self._gates
        ):
            return
        limits = self._limits
        found = limits.lines(self._key.customer, self._project, self._endpoint)
        if found.currency is None:
            return
        self._lines = found.lines
        expected = self._expected()
        customer, month = self._gates[0].counted.customer, self._gates[0].counted.month
        self._volumes = await limits.volumes(self._key.customer, month, again=False)
        asked = False
        amount = self._price(expected, {})
        if self._most is not None:
            amount = self._most[1]
        self._units = expected
        if prepaid:
            if not amount and self._may_cost(expected):
                amount = 1  # what nobody knows yet is not begun on an empty balance
            whole, balance = limits.balance(customer, found.currency)
            asked = await self._take_balance(balance, amount)
            self._money.append((whole, balance, amount))
        for gate in self._gates:
            lease = limits.budget(gate, found.currency)
            if lease is None:
                continue
            if not lease.take(amount):
                if not await lease.ask(amount):
                    self._refuse(
                        f"billing.{gate.whose}_budget_used",
                        limit=gate.settings.monthly_budget,
                        used=exact_text(lease.spent + lease.pending, found.currency),
                        currency=found.currency,
                        asked=exact_text(amount, found.currency),
                    )
                asked = True
            self._money.append((gate, lease, amount))
        if asked:  # others may have come further on the same lines
            await limits.volumes(self._key.customer, month, again=True)

    async def _take_balance(self, lease: Lease, amount: int) -> bool:
        """Whether the database was asked."""
        if lease.take(amount):
            return False
        if await lease.ask(amount):
            return True
        currency = (lease.counted and lease.counted.currency) or ""
        left = (lease.limit or 0) - lease.spent - lease.pending
        raise PaymentRequired(
            "billing.balance_short" if left > 0 else "billing.balance_used",
            left=exact_text(left, currency),
            asked=exact_text(amount, currency),
            currency=currency,
        )

    def _may_cost(self, expected: Mapping[str, int]) -> bool:
        """Whether units that are not known before the call have a price."""
        return any(not expected.get(line.unit) and line.tariff.most(1) for line in self._lines)

    def _expected(self) -> dict[str, int]:
        if self._most is not None:
            return {line.unit: self._most[0].get(line.unit, 0) for line in self._lines}
        usual = self._limits.usual
        known = {"calls": 1, "inputs": self._inputs}
        return {
            line.unit: known[line.unit]
            if line.unit in known
            else round(usual.get((self._endpoint, line.unit), 0.0) * self._inputs)
            for line in self._lines
        }

    def _price(self, units: Mapping[str, int], instead_of: Mapping[str, int]) -> int:
        """What `units` cost where the month stands without `instead_of`; counts the month on."""
        volumes = self._volumes
        assert volumes is not None
        total = 0
        for line in self._lines:
            before = max(0, volumes.get(line.name, 0) - instead_of.get(line.unit, 0))
            used = units.get(line.unit, 0)
            total += line.tariff.amount(before, used)
            volumes[line.name] = before + used
        return total

    def _learn(self, units: Mapping[str, int], inputs: int) -> None:
        """Remembers how much an input used, of what is not known before."""
        for line in self._lines:
            if line.unit not in ("calls", "inputs") and inputs:
                where = (self._endpoint, line.unit)
                each = units.get(line.unit, 0) / inputs
                self._limits.usual[where] = 0.8 * self._limits.usual.get(where, each) + 0.2 * each

    def _refuse(self, code: str, **params: Any) -> NoReturn:
        now = datetime.now(UTC)
        end = month_end(now)
        raise QuotaExceeded(
            code,
            resets=f"{end:%Y-%m-%d} 00:00 UTC",
            retry_after=(end - now).total_seconds(),
            allowance=self.allowance(),
            **params,
        )

    def _leave(self) -> None:
        for lease in self._slots:
            lease.give_back(1)
        for lease in self._quotas:
            lease.give_back(self._inputs)
        for _, lease, taken in self._money:
            lease.spent -= self._held
            if taken:
                lease.give_back(taken)
        if self._volumes is not None and self._units:
            self._price({}, self._units)
        self._slots, self._quotas, self._units, self._held = [], [], {}, 0

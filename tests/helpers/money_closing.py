"""Closing months, for `helpers.money_machine`: what every invoice must say, and that it says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from feilun.billing.currency import decimals
from feilun.billing.holds import release
from feilun.billing.invoices import check_month, close_month
from feilun.billing.rerate import rerate
from feilun.errors import Conflict
from feilun.store import Store
from feilun.store.catalog import Catalog
from feilun.store.ledger_invoices import month_span
from feilun.store.ledger_records import Event
from helpers.truth import Fact, Truth

__all__ = ["Closing"]


class Closing:
    """The end of months, and what may be found out about them later."""

    stores: list[Store]
    catalog: Catalog
    truth: Truth
    customers: list[str]
    months: set[str]
    now: datetime

    @precondition(lambda self: self.truth.billed and (self.truth.lists or self.truth.plans))
    @rule(which=st.integers(0, 99), version=st.integers(0, 99))
    def rate_again(self, which: int, version: int) -> None:
        """A closed month by other prices: the difference is one event of the month it is found
        out in, and done twice it is done once."""
        places = sorted(self.truth.billed)
        customer, month, _ = places[which % len(places)]
        versions = sorted(self.truth.versions())
        if not versions:
            return
        id = versions[version % len(versions)]
        target = self.truth.rated_again(customer, month, id)
        record = self.catalog.customer(customer)
        if target is None:
            with pytest.raises(Conflict):
                rerate(self.stores[0], record, month, id, now=self.now)
            return
        difference, currency, number = target
        found, changed = rerate(self.stores[0], record, month, id, now=self.now)
        assert (found.difference, changed) == (difference, bool(difference))
        assert rerate(self.stores[1], record, month, id, now=self.now)[1] is False
        if difference:
            event = Event(
                call_id=f"rerate:{customer}:{month}:{number + 1}",
                kind="charge" if difference > 0 else "credit",
                currency=currency,
                customer=customer,
                price_version=id,
                outcome=f"rerate:{month}",
                created=self.now,
            )
            self._note(event, difference, {})

    def _close(self, month: str, writer: int, check: bool, now: datetime) -> None:
        start, end = month_span(month)
        store = self.stores[writer]
        if now < end + timedelta(minutes=5):
            with pytest.raises(Conflict):
                close_month(store, month, now=now)
            return
        wanted: dict[tuple[str, str], tuple[int, int, int | None]] = {}
        for customer in self.customers:
            for currency in ("USD", "EUR", "JPY"):
                place = (customer, month, currency)
                if place not in self.truth.billed:
                    found = self._bill(customer, month, currency, start, end)
                    if found is not None:
                        wanted[customer, currency] = found
        known = {(one.customer, one.currency): one for one in store.invoices.invoices(month=month)}
        closed = close_month(store, month, check=check, now=now)
        assert [one.number for one in closed] == sorted({one.number for one in closed})
        for invoice in closed:
            place = (invoice.customer, invoice.currency)
            if place in known:
                assert invoice == known[place]
                continue
            amount, late, paid = wanted.pop(place)
            document = invoice.document
            assert _micro(document["ledger"]["amount"]) == amount
            assert _micro(document["net"]) == amount + late
            lines = sum(_micro(line["amount"]) for line in document["lines"])
            assert lines == amount + late
            coin = 10 ** (6 - decimals(invoice.currency))
            assert invoice.total == half_up_to(amount + late - (paid or 0), coin)
            told = document.get("prepaid")
            assert (told and -_micro(told["amount"])) == paid
        assert not wanted
        assert close_month(self.stores[1 - writer], month, now=now) == closed
        self.months.add(month)

    def _bill(
        self, customer: str, month: str, currency: str, start: datetime, end: datetime
    ) -> tuple[int, int, int | None] | None:
        """What the ledger has of the month after its closing, what earlier months bring late, and
        what a balance pays (None without one); None where there is no invoice."""
        owed = self.truth.owed(customer, month, currency)
        least = self.truth.minimum(customer, start, end).get(currency, 0)
        used = sum(f.amount for f in owed if f.outcome in ("ok", "withheld"))
        if least > used:
            fact = Fact(
                f"minimum:{customer}:{month}:{currency}",
                0,
                "charge",
                customer,
                None,
                None,
                {},
                least - used,
                currency,
                self._minimum_version(customer, start, end, currency),
                f"minimum:{month}",
                month,
            )
            self.truth.facts[fact.call_id, 0] = fact
            owed.append(fact)
        if not owed:
            return None
        amount = sum(fact.amount for fact in owed)
        late = self._late(customer, month, currency)
        self.truth.billed[customer, month, currency] = amount
        paid = self._paid(customer, month, currency, amount, late)
        return amount, sum(late.values()), paid

    def _paid(
        self, customer: str, month: str, currency: str, amount: int, late: dict[str, int]
    ) -> int | None:
        """What the balance pays of the month's invoice. What it does not cover the invoice asks
        for, and the balance begins at nothing again."""
        truth = self.truth
        opened, before = truth.opened.get((customer, currency), ("9999-12", 0))
        if month < opened:
            return None
        drawn = amount + sum(one for when, one in late.items() if when >= opened)
        drawn -= before if month == opened else 0
        until = truth.drawn(customer, currency, opened, month) - before
        asked = max(0, until - truth.paid(customer, currency))
        if asked:
            outcome = f"invoiced:{month}"
            call_id = f"invoiced:{customer}:{month}:{currency}"
            truth.facts[call_id, 0] = Fact(
                call_id, 0, "topup", customer, None, None, {}, asked, currency, None, outcome
            )
        return drawn - asked

    def _late(self, customer: str, month: str, currency: str) -> dict[str, int]:
        """What came into the last three closed months before this one since they were billed."""
        earlier = sorted(
            place
            for place in self.truth.billed
            if (place[0], place[2]) == (customer, currency) and place[1] < month
        )
        found = {}
        for place in earlier[-3:]:
            now = sum(fact.amount for fact in self.truth.owed(customer, place[1], currency))
            found[place[1]] = now - self.truth.billed[place]
            self.truth.billed[place] = now
        return found

    def _minimum_version(
        self, customer: str, start: datetime, end: datetime, currency: str
    ) -> int | None:
        """The last version of the month that asks for a minimum in this currency."""
        turns = {start, *(when for when, _ in self.truth.subscribed[customer])}
        turns |= {one.effective for versions in self.truth.plans.values() for one in versions}
        found = None
        for when in sorted(turn for turn in turns if start <= turn < end):
            plan = self.truth.plan_at(customer, when)
            if plan is not None and plan[1].minimum and plan[1].currency == currency:
                found = plan[1].id
        return found

    def _close_everything(self) -> None:
        """Every month to the real one, which waits for open holds."""
        real = datetime.now(UTC)
        after = month_span(f"{real:%Y-%m}")[1] + timedelta(minutes=5)
        if self.truth.holds:
            with pytest.raises(Conflict):
                close_month(self.stores[0], f"{real:%Y-%m}", self.catalog.customers(), now=after)
        for call_id in sorted(self.truth.holds):
            held = next(iter(self.stores[0].ledger.events(call_id=call_id)))
            self.stores[0].ledger.commit_group([release(held, "gave up")])
            self._released(call_id, held.amount, "gave up")
        times = [fact.created for fact in self.truth.facts.values() if fact.created]
        month = f"{min([*times, real]):%Y-%m}"
        while month <= f"{real:%Y-%m}":
            self._close(month, 0, True, after)
            month = f"{month_span(month)[1]:%Y-%m}"
        self.ledger_agrees()
        verified = self.stores[1].ledger.verify()
        assert verified.ok, [fault.text() for fault in verified.faults]
        assert verified.events == len(self.truth.facts)
        for customer in self.customers:
            for month in self.months:
                check_month(self.stores[0], customer, month)


def half_up_to(amount: int, coin: int) -> int:
    """`amount` to whole coins, halves away from zero, as people round money."""
    sign = -1 if amount < 0 else 1
    return sign * ((abs(amount) * 2 + coin) // (2 * coin)) * coin


def _micro(text: str) -> int:
    from decimal import Decimal

    return int(Decimal(text) * 1_000_000)

"""Customers, keys, plans, prices, calls, retries, holds, credits and closed months in random order,
through the real ledger by two writers at once, beside a model in plain Python (`helpers.truth`)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from feilun.billing.credits import give_credit
from feilun.billing.holds import EXPIRED, hold, release, release_expired, settle
from feilun.billing.keys import create_key
from feilun.billing.plans import Plan, set_plan, subscribe
from feilun.billing.rating import RateBook
from feilun.billing.withheld import credit_of
from feilun.errors import Conflict, Gone, InvalidData
from feilun.store import Store
from feilun.store.ledger_allowances import Counted
from feilun.store.ledger_records import CallOutcome, Event, Idempotent, LedgerCall
from helpers.money_closing import Closing
from helpers.money_prepaid import Prepaid, asked_by
from helpers.truth import Fact, PlanTruth, Steps, Truth

__all__ = ["Money"]

Open = Callable[[], Store]

UNITS = st.fixed_dictionaries({"inputs": st.integers(1, 2_000), "tokens": st.integers(0, 9_000)})
PRICES = st.sampled_from([0, 1, 333, 33_700, 999_999, 1_250_000])
ENDS = st.lists(st.integers(1, 3_000), max_size=3, unique=True).map(sorted)
LATER = st.sampled_from([timedelta(0), timedelta(hours=7), timedelta(days=20)])
CALLS = st.lists(
    st.tuples(st.integers(0, 9), UNITS, st.sampled_from(["", "", "a", "b"]), st.booleans()),
    min_size=1,
    max_size=4,
)


class Money(Closing, Prepaid, RuleBasedStateMachine):
    """`open_one` opens the same empty workspace as often as it is called. Time is the machine's
    own, months before the real one, so that months can end."""

    def __init__(self, open_one: Open) -> None:
        super().__init__()
        self._open = open_one
        self.truth = Truth()
        self.customers: list[str] = []
        self.keys: dict[str, list[str]] = defaultdict(list)
        self.written: list[tuple[LedgerCall, CallOutcome]] = []
        self.kept: dict[str, str] = {}
        self.months: set[str] = set()
        self.count = 0

    @initialize()
    def begin(self) -> None:
        self.stores = [self._open(), self._open()]
        self.catalog = self.stores[0].catalog
        self.catalog.add_project("reviews", "text-classification")
        self.book = RateBook(self.catalog)
        today = datetime.now(UTC)
        months = today.year * 12 + today.month - 1 - 8
        self.now = datetime(months // 12, months % 12 + 1, 3, 12, tzinfo=UTC)
        self.new_customer()

    def teardown(self) -> None:
        if not hasattr(self, "stores"):
            return
        try:
            self._close_everything()
        finally:
            for store in self.stores:
                store.close()

    # Who and what

    @precondition(lambda self: len(self.customers) < 3)
    @rule()
    def new_customer(self) -> None:
        customer = self.catalog.add_customer(f"Customer {len(self.customers)}").id
        self.customers.append(customer)
        self.new_key(len(self.customers) - 1)

    @rule(which=st.integers(0, 9))
    def new_key(self, which: int) -> None:
        customer = self._customer(which)
        if len(self.keys[customer]) < 2:
            self.keys[customer].append(create_key(self.catalog, customer).record.id)

    @rule(per_1000=PRICES)
    def list_price(self, per_1000: int) -> None:
        price = self.catalog.add_price("reviews", per_1000, "USD", self.now)
        if price.id not in {id for _, id, _ in self.truth.lists}:
            self.truth.lists.append((self.now, price.id, per_1000))
        self.book.reload()

    @rule(
        name=st.sampled_from(["basic", "pro"]),
        included=st.sampled_from([0, 0, 500]),
        ends=ENDS,
        data=st.data(),
        tokens=st.booleans(),
        minimum=st.sampled_from([0, 0, 49_000_000, 1]),
        later=LATER,
    )
    def plan(
        self,
        name: str,
        included: int,
        ends: list[int],
        data: st.DataObject,
        tokens: bool,
        minimum: int,
        later: timedelta,
    ) -> None:
        ends = [end + included for end in ends]
        steps = [(end, data.draw(PRICES)) for end in [*ends, None]]
        rates: list[dict[str, Any]] = [
            {
                "unit": "inputs",
                "included": included,
                "tiers": [
                    {"per_1000": f"{price / 1e6:.6f}"} | ({"up_to": end} if end else {})
                    for end, price in steps
                ],
            }
        ]
        truth: dict[str, Steps] = {"inputs": (*([(included, 0)] if included else []), *steps)}
        if tokens:
            rates.append({"unit": "tokens", "tiers": [{"per_1000": "0.000777"}]})
            truth["tokens"] = ((None, 777),)
        currency = {"basic": "JPY", "pro": "EUR"}[name]
        document = {
            "currency": currency,
            "monthly_minimum": f"{minimum / 1e6:.6f}",
            "rates": rates,
        }
        plan = Plan.model_validate(document)
        when = self.now + later
        made = set_plan(self.catalog, name, plan, when, now=self.now)
        if made.id not in {one.id for one in self.truth.plans[name]}:
            self.truth.plans[name].append(PlanTruth(when, made.id, currency, minimum, truth))
        self.book.reload()

    @rule(which=st.integers(0, 9), name=st.sampled_from(["basic", "pro", None]), later=LATER)
    def change_plan(self, which: int, name: str | None, later: timedelta) -> None:
        if name is not None and not self.truth.plans[name]:
            return
        customer = self._customer(which)
        subscribe(self.catalog, customer, name, self.now + later, now=self.now)
        self.truth.subscribed[customer].append((self.now + later, name))
        self.book.reload()

    # Calls

    @rule(calls=CALLS, writer=st.integers(0, 1))
    def answer(self, calls: list[tuple[int, dict[str, int], str, bool]], writer: int) -> None:
        """A group of calls, some of them retries or clashes by an ``Idempotency-Key``."""
        group = [self._call(*call) for call in calls]
        outcomes = self.stores[writer].ledger.commit_group(group)
        for call, outcome in zip(group, outcomes, strict=True):
            self._expect(call, outcome)

    @precondition(lambda self: self.written)
    @rule(calls=CALLS, which=st.integers(0, 99), writer=st.integers(0, 1))
    def group_that_fails(
        self, calls: list[tuple[int, dict[str, int], str, bool]], which: int, writer: int
    ) -> None:
        """One call of the group is on record already: nothing of the group is written."""
        twice = self.written[which % len(self.written)][0]
        group = [self._call(*call) for call in calls]
        group.append(LedgerCall(twice.events))
        with pytest.raises(Conflict):
            self.stores[writer].ledger.commit_group(group)

    @precondition(lambda self: self.written)
    @rule(which=st.integers(0, 99), writer=st.integers(0, 1))
    def withhold(self, which: int, writer: int) -> None:
        """A key was revoked during a commit: its answer does not leave, its charge goes back."""
        call, outcome = self.written.pop(which % len(self.written))
        credit = credit_of(call, outcome)
        self.stores[writer].ledger.commit_group([credit])
        for event, charged in zip(credit.events, call.events, strict=True):
            assert charged.created is not None
            fact = self.truth.facts[charged.call_id, charged.seq]
            units = {unit: -count for unit, count in fact.units.items()}
            amount = self.truth.charge(
                fact.customer, f"{charged.created:%Y-%m}", _lines(charged), units
            )
            self._note(event, amount, units)
        if call.idempotent is not None:
            place = (call.idempotent.customer, call.idempotent.key)
            if self.truth.answers.get(place, ("", ""))[1] == call.idempotent.call_id:
                del self.truth.answers[place]

    # Holds

    @rule(
        which=st.integers(0, 9),
        amount=st.integers(1, 10**9),
        writer=st.integers(0, 1),
        dies=st.booleans(),
    )
    def hold(self, which: int, amount: int, writer: int, dies: bool) -> None:
        """One whose process dies ends by itself, once, whoever sees it."""
        held = replace(self._event(which, {}), amount=amount)
        until = datetime.now(UTC) + timedelta(hours=-1 if dies else 1)
        [outcome] = self.stores[writer].ledger.commit_group([hold(held, until)])
        assert outcome.written
        held = replace(held, kind="hold")
        self._note(held, amount, held.units)
        self.truth.holds[held.call_id] = str(held.customer)
        if dies:
            assert release_expired(self.stores[1 - writer].ledger) == 1
            assert release_expired(self.stores[writer].ledger) == 0
            self._released(held.call_id, amount, EXPIRED)

    @precondition(lambda self: self.truth.holds)
    @rule(which=st.integers(0, 99), units=UNITS, settles=st.booleans(), writer=st.integers(0, 1))
    def end_hold(self, which: int, units: dict[str, int], settles: bool, writer: int) -> None:
        """Settled or released, once: the second word on the same hold is refused."""
        call_id = sorted(self.truth.holds)[which % len(self.truth.holds)]
        customer = self.truth.holds.pop(call_id)
        held = self.truth.facts[call_id, 0]
        event = self._event(self.customers.index(customer), units)
        event = replace(event, call_id=call_id, key_id=held.key_id)
        begun = replace(event, amount=held.amount, created=held.created, price_version=None)
        begun = replace(begun, currency=held.currency, price_version=held.price_version)
        words = [settle(event), release(begun, "gave up")]
        first, second = words if settles else reversed(words)
        [outcome] = self.stores[writer].ledger.commit_group([first])
        assert outcome.written
        [refused] = self.stores[1 - writer].ledger.commit_group([second])
        assert isinstance(refused.error, Gone)
        if settles:
            month = f"{self.now:%Y-%m}"
            amount = self.truth.charge(customer, month, _lines(event), event.units)
            self._note(replace(event, kind="settle", seq=1), amount, event.units)
        else:
            self._released(call_id, held.amount, "gave up")

    def _released(self, call_id: str, amount: int, outcome: str) -> None:
        """A release is dated by the real clock."""
        self.truth.holds.pop(call_id, None)
        held = self.truth.facts[call_id, 0]
        self.truth.facts[call_id, 1] = replace(
            held, seq=1, kind="release", units={}, amount=-amount, outcome=outcome, created=None
        )

    # Money back, and the end of months

    @rule(
        which=st.integers(0, 9), amount=st.integers(1, 10**8), code=st.sampled_from(["USD", "EUR"])
    )
    def credit(self, which: int, amount: int, code: str) -> None:
        """Given twice under one reference it is given once."""
        self.count += 1
        customer = self._customer(which)
        events = [
            give_credit(
                store, customer, amount, "An outage", currency=code, reference=f"r{self.count}"
            )
            for store in self.stores
        ]
        assert events[0] == events[1]
        self._note(events[0], -amount, {})

    @rule(step=st.sampled_from([timedelta(minutes=3), timedelta(hours=30), timedelta(days=13)]))
    def time_goes_by(self, step: timedelta) -> None:
        # Seven months at most: the real one is for what is dated by the real clock.
        limit = datetime.now(UTC).replace(day=1) - timedelta(days=31)
        self.now = min(self.now + step, limit)

    @rule(back=st.integers(1, 3), writer=st.integers(0, 1), check=st.booleans())
    def close(self, back: int, writer: int, check: bool) -> None:
        """A month that has ended, perhaps before one that ended earlier; twice is once."""
        first = self.now.replace(day=1)
        for _ in range(back):
            first = (first - timedelta(days=1)).replace(day=1)
        self._close(f"{first:%Y-%m}", writer, check, self.now)

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = self._open()
        if which == 0:
            self.catalog = self.stores[0].catalog
            self.book = RateBook(self.catalog)
            self.book.reload()

    # What always holds

    @invariant()
    def ledger_agrees(self) -> None:
        if not hasattr(self, "stores"):
            return
        ledger = self.stores[self.count % 2].ledger
        events = list(ledger.events())
        shown = {(event.call_id, event.seq): _shown(event) for event in events}
        assert len(shown) == len(events)
        wanted = {place: _fact(fact) for place, fact in self.truth.facts.items()}
        assert shown == wanted
        self._roll_ups_agree(events)
        self._volumes_and_quotas_agree()

    def _roll_ups_agree(self, events: list[Event]) -> None:
        wanted: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
        for event in events:
            if event.kind in ("charge", "settle", "credit"):
                assert event.created is not None
                day = f"{event.created:%Y-%m-%d}"
                sums = wanted[
                    event.customer, event.key_id, day, event.currency, event.price_version
                ]
                sums.update(event.units)
                sums.update(
                    events=1, amount=event.amount, cost=event.cost, engine_us=event.engine_us
                )
        rows = self.stores[0].ledger.usage(by=("customer", "key_id", "day", "price_version"))
        told = {}
        for row in rows:
            place = (*(row.by[n] for n in ("customer", "key_id", "day")), row.currency)
            sums = Counter(row.units)
            sums.update(
                events=row.events, amount=row.amount, cost=row.cost, engine_us=row.engine_us
            )
            told[*place, row.by["price_version"]] = sums
        assert told == wanted  # a Counter takes what is missing for 0

    def _volumes_and_quotas_agree(self) -> None:
        month = f"{self.now:%Y-%m}"
        allowances = self.stores[1].allowances
        for customer in self.customers:
            volumes = {
                line: units
                for (who, when, line), units in self.truth.volumes.items()
                if (who, when) == (customer, month)
            }
            assert Counter(allowances.volumes(customer, month)) == Counter(volumes)
            counted = [
                fact
                for fact in self.truth.facts.values()
                if fact.customer == customer and fact.kind in ("charge", "settle", "credit")
                if fact.created is not None and f"{fact.created:%Y-%m}" == month
            ]
            inputs = sum(fact.units.get("inputs", 0) for fact in counted)
            assert allowances.spent(Counted(customer, month)) == inputs
            left = {code: one.left for code, one in allowances.accounts(customer).items()}
            mine = [code for who, code in self.truth.opened if who == customer]
            assert left == {code: self.truth.left(customer, code) for code in mine}

    # The rest is how

    def _customer(self, which: int) -> str:
        return self.customers[which % len(self.customers)]

    def _event(self, which: int, units: dict[str, int]) -> Event:
        self.count += 1
        customer = self._customer(which)
        units = {"calls": 1, **{unit: count for unit, count in units.items() if count}}
        rating = self.book.rate(customer, "reviews", "reviews", units, self.now)
        version, currency, lines = self.truth.prices_at(customer, self.now)
        assert rating.price_version == version
        assert (rating.currency or "USD") == currency
        event = Event(
            call_id=f"call-{self.count}",
            units=units,
            rates=rating.rates,
            price_version=rating.price_version,
            currency=currency,
            customer=customer,
            key_id=self.keys[customer][which % len(self.keys[customer])],
            project="reviews",
            endpoint="reviews",
            cost=self.count % 7,
            engine_us=self.count,
            created=self.now,
        )
        assert _lines(event) == {unit: lines[unit] for unit in lines if units.get(unit)}
        return event

    def _call(self, which: int, units: dict[str, int], key: str, other: bool) -> LedgerCall:
        event = self._event(which, units)
        claim = None
        if key:
            claim = Idempotent(
                str(event.customer),
                key,
                fingerprint="another" if other else "one",
                call_id=event.call_id,
                body=event.call_id.encode(),
                expires=datetime.now(UTC) + timedelta(days=1),
            )
        return LedgerCall([event], [asked_by(event, which)], idempotent=claim)

    def _expect(self, call: LedgerCall, outcome: CallOutcome) -> None:
        """Notes what should have become of `call`, and checks that it did."""
        claim, [event] = call.idempotent, call.events
        if claim is not None:
            place = (claim.customer, claim.key)
            if place in self.truth.answers:
                fingerprint, winner = self.truth.answers[place]
                assert not outcome.written
                if fingerprint != claim.fingerprint:
                    assert isinstance(outcome.error, InvalidData)
                else:
                    assert outcome.earlier is not None
                    assert outcome.earlier.call_id == winner
                    assert outcome.earlier.body == winner.encode()
                return
            self.truth.answers[place] = (claim.fingerprint, claim.call_id)
        amount = self.truth.charge(
            str(event.customer), f"{self.now:%Y-%m}", _lines(event), event.units
        )
        assert outcome.amounts == (amount,)
        self._note(event, amount, event.units)
        self.written.append((call, outcome))
        self.kept[event.call_id] = str(call.predictions[0].input)

    def _note(self, event: Event, amount: int, units: Any, belongs: str = "") -> None:
        self.truth.facts[event.call_id, event.seq] = Fact(
            event.call_id,
            event.seq,
            event.kind,
            str(event.customer),
            event.key_id,
            event.created,
            {unit: count for unit, count in units.items() if count},
            amount,
            event.currency,
            event.price_version,
            event.outcome,
            belongs,
        )


def _lines(event: Event) -> dict[str, tuple[str, Steps]]:
    """The steps that an event is priced by, by unit."""
    return {
        rated.line.rpartition(":")[2]: (rated.line, rated.tariff.tiers) for rated in event.rates
    }


def _shown(event: Event) -> tuple[Any, ...]:
    units = tuple(sorted((unit, count) for unit, count in event.units.items() if count))
    # What is dated by the real clock is compared without its time.
    real = event.outcome.startswith(("minimum:", "invoiced:")) or event.kind == "release"
    created = None if real else event.created
    return (
        event.kind,
        event.customer,
        event.key_id,
        created,
        units,
        event.amount,
        event.currency,
        event.price_version,
        event.outcome,
    )


def _fact(fact: Fact) -> tuple[Any, ...]:
    return (
        fact.kind,
        fact.customer,
        fact.key_id,
        fact.created,
        tuple(sorted(fact.units.items())),
        fact.amount,
        fact.currency,
        fact.price_version,
        fact.outcome,
    )

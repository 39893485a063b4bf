"""Money paid beforehand and people who are erased, for `helpers.money_machine`: what is answered
while a balance lasts, and what stays when a person is to be forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from feilun.billing.admission import Admission
from feilun.billing.limiter import Limits
from feilun.billing.prepaid import record_topup
from feilun.billing.rating import RateBook
from feilun.errors import InvalidData, PaymentRequired
from feilun.store import Store
from feilun.store.catalog import Catalog
from feilun.store.ledger_records import Event, LedgerCall, Prediction
from helpers.truth import Truth

__all__ = ["Prepaid", "asked_by"]

PEOPLE = 3


def _most(call: LedgerCall) -> int:
    """What it costs at the dearest step."""
    return sum(rated.tariff.most(rated.units) for rated in call.events[0].rates)


def _spread(call: LedgerCall) -> int:
    """How much dearer it may be at the dearest step than at the cheapest."""
    found = 0
    for rated in call.events[0].rates:
        prices = [price for _, price in rated.tariff.tiers]
        found += -(-(max(prices) - min(prices)) * rated.units // 1000)
    return found


def asked_by(event: Event, which: int) -> Prediction:
    """The answer of the call of `event`, which one of a few people asked for."""
    return Prediction(
        event.call_id,
        0,
        f"person-{which % PEOPLE} asks {event.call_id}",
        {"label": "good", "score": 0.9},
        "good",
        0.9,
        0.8,
        "reviews@1",
        "reviews",
        customer=event.customer,
        key_id=event.key_id,
    )


class Prepaid:
    """Balances, and erasing. `done` counts over all runs what came to pass, so that a test can see
    that it did."""

    done: ClassVar[Counter[str]] = Counter()
    stores: list[Store]
    catalog: Catalog
    truth: Truth
    customers: list[str]
    keys: dict[str, list[str]]
    kept: dict[str, str]
    now: datetime
    count: int

    @rule(
        which=st.integers(0, 9),
        amount=st.sampled_from([1, 700, 10**6, 3 * 10**7, 10**9, -1, -(10**6)]),
        code=st.sampled_from(["USD", "EUR"]),
    )
    def top_up(self, which: int, amount: int, code: str) -> None:
        """Paid beforehand, once for each reference; no more can be taken back than is left."""
        self.count += 1
        customer, truth = self._customer(which), self.truth
        place, reference = (customer, code), f"p{self.count}"
        left = truth.left(customer, code) if place in truth.opened else 0
        if amount < 0 and left + amount < 0:
            with pytest.raises(InvalidData):
                record_topup(self.stores[0], customer, amount, currency=code, now=self.now)
            return
        if place not in truth.opened:
            month = f"{self.now:%Y-%m}"
            before = truth.drawn(customer, code, month)
            truth.opened[place] = (month, before)
            opening = Event(
                f"opening:{customer}:{code}",
                "topup",
                currency=code,
                customer=customer,
                outcome="opening",
                created=self.now,
            )
            self._note(opening, before, {})
        events = [
            record_topup(store, customer, amount, currency=code, reference=reference, now=self.now)
            for store in self.stores
        ]
        assert events[0] == events[1]
        self._note(events[0], amount, {})

    @rule(
        which=st.integers(0, 9),
        inputs=st.lists(st.integers(1, 2_000), min_size=1, max_size=6),
    )
    def pays_beforehand(self, which: int, inputs: list[int]) -> None:
        """Calls at once, by turns at two servers, of a customer who has to pay first: the balance
        is spent to nothing and never beyond, because the price of inputs is known beforehand. What
        it does not cover is refused with 402 and costs nothing."""
        customer, before = self._customer(which), self.now
        self.catalog.set_customer(customer, limits={"prepaid": True})
        self.now = datetime.now(UTC)  # which limits go by
        try:
            currency = self.truth.prices_at(customer, self.now)[1]
            place = (customer, currency)
            left = self.truth.left(*place) if place in self.truth.opened else 0
            calls = [self._call(which, {"inputs": one, "tokens": 0}, "", False) for one in inputs]
            answered = asyncio.run(self._spend(customer, calls))
            after = self.truth.left(*place) if place in self.truth.opened else 0
        finally:
            self.now = before
        self.done.update(answered=sum(answered), refused=len(answered) - sum(answered))
        # Outside the promise stands a dearer step that the other server has reached meanwhile.
        beyond = sum(map(_spread, calls))
        assert after >= min(left, 0) - beyond
        if not all(answered):
            # It may be refused a little early: by less than a slice of each server's.
            dearest = max(map(_most, calls))
            assert after <= 3 * dearest + max(0, left) / 50

    async def _spend(self, customer: str, calls: Sequence[LedgerCall]) -> list[bool]:
        """Which of the calls were answered."""
        servers = []
        for store in self.stores:
            book = RateBook(store.catalog)
            book.reload()
            limits = Limits(store, book)
            limits.reload()
            servers.append((store, limits))
        known = {key.id: key for key in self.catalog.keys(customer)}

        async def ask(place: int, call: LedgerCall) -> bool:
            store, limits = servers[place % 2]
            (event,) = call.events
            key = known[str(event.key_id)]
            inputs = event.units["inputs"]
            try:
                async with Admission(limits, key, "reviews", "reviews", inputs) as admission:
                    await asyncio.sleep(0)
                    [outcome] = store.ledger.commit_group([call])
                    self._expect(call, outcome)
                    admission.settle(event.units, sum(outcome.amounts))
            except PaymentRequired:
                return False
            return True

        found = await asyncio.gather(*(ask(place, call) for place, call in enumerate(calls)))
        for _, limits in servers:  # an orderly stop gives back what is left
            for lease in limits.leases():
                await lease.shrink()
        return list(found)

    @precondition(lambda self: self.kept)
    @rule(who=st.integers(0, PEOPLE - 1), writer=st.integers(0, 1))
    def erase(self, who: int, writer: int) -> None:
        """Of a person nothing is left but what was charged, which stays to the last micro-unit. An
        answer that is gone is given to no retry."""
        ledger = self.stores[writer].ledger
        about = f"person-{who} "
        mine = {call for call, said in self.kept.items() if said.startswith(about)}
        found = ledger.answers_about("reviews", lambda text: about in text, frozenset())
        assert {call for call, _ in found} == mine
        assert ledger.erase_answers(found) == (len(mine), 0)
        self.done["erased"] += len(mine)
        for call in mine:
            del self.kept[call]
        for place, (_, call) in list(self.truth.answers.items()):
            if call in mine:
                del self.truth.answers[place]
        rows = ledger.recent_predictions("reviews", limit=None, usable_only=False)
        assert {row.prediction_id for row in rows} == set(self.kept)

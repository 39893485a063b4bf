"""The customers of a workspace: adding, changing, showing what they use and may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feilun.billing.currency import exact_text, is_currency, micro_of
from feilun.billing.invoice_document import tax_rate_of
from feilun.billing.invoices import find_customer
from feilun.billing.limits import LimitSettings, parse_limits, tightest
from feilun.billing.plans import subscribe
from feilun.billing.prepaid import record_topup
from feilun.billing.rating import RateBook, currency_of
from feilun.errors import Conflict, InvalidData
from feilun.messages import LANGUAGES, t
from feilun.project.plans import limit_words
from feilun.project.results import Listing
from feilun.store.ledger_allowances import Counted
from feilun.store.ledger_balances import INVOICED
from feilun.store.records import ApiKey, Customer, Subscription
from feilun.table import Moment, Result, Table

if TYPE_CHECKING:
    from feilun.store.store import Store

__all__ = ["DETAILS", "CustomerShown", "Customers"]

DETAILS = ("legal_name", "address", "tax_id", "tax_rate", "language")
"""What stands on a customer's invoices; `tax_rate` in percent, `language` en or zh."""


@dataclass(frozen=True)
class CustomerShown(Result):
    """A customer. `limits` are its own, `in_force` those together with its plan's. `used` are the
    month's inputs, `spent` the month's money by currency, open holds too; `warnings` say in words
    which budget or balance is used up to its mark. `balance` is what is left of what was paid
    beforehand, by currency, where calls are answered for that alone or anything was paid."""

    id: str
    name: str
    created: datetime
    details: Mapping[str, Any]
    plan: str | None
    plan_version: int | None
    next_plan: str | None
    next_from: datetime | None
    limits: Mapping[str, Any]
    in_force: Mapping[str, Any]
    keys: int
    month: str
    used: int
    spent: Mapping[str, str]
    warnings: Sequence[str]
    balance: Mapping[str, str] = field(default_factory=dict)

    def tables(self) -> Sequence[Table]:
        spent = [f"{amount} {currency}" for currency, amount in self.spent.items()]
        rows = [
            [t("plans.id"), self.id],
            *([t(f"plans.{name}"), str(value)] for name, value in self.details.items()),
            [t("plans.of_plan"), self.plan or t("plans.list_prices")],
            *self._next(),
            [t("plans.own_limits"), limit_words(self.limits)],
            [t("plans.limits_in_force"), limit_words(self.in_force)],
            [t("plans.keys"), str(self.keys)],
            [t("plans.used", month=self.month), f"{self.used:,}"],
            [t("plans.spent", month=self.month), ", ".join(spent) or "0"],
            *([t("plans.balance"), f"{left} {code}"] for code, left in self.balance.items()),
        ]
        return (Table(self.name, ["", ""], rows, self.warnings),)

    def _next(self) -> list[list[str]]:
        if self.next_from is None:
            return []
        plan = self.next_plan or t("plans.list_prices")
        return [[t("plans.next"), f"{plan} ({self.next_from:%Y-%m-%d %H:%M} UTC)"]]


class _Look:
    """What is known now of all customers, read once for them together, or of the `customer` of
    this id alone."""

    def __init__(self, store: Store, customer: str | None = None) -> None:
        self._store = store
        self._alone = customer is not None
        catalog = store.catalog
        self._now = datetime.now(UTC)
        self._month = f"{self._now:%Y-%m}"
        self._book = RateBook(catalog)
        self._book.reload()
        self._spent = store.allowances.month(self._month, customer)
        self._keys: dict[str, list[ApiKey]] = {}
        for key in catalog.keys(customer):
            self._keys.setdefault(key.customer, []).append(key)
        self._coming: dict[str, Subscription] = {}
        for subscription in catalog.subscriptions(customer):
            if subscription.effective > self._now:
                self._coming.setdefault(subscription.customer, subscription)

    def at(self, customer: Customer) -> CustomerShown:
        version = self._book.plan_of(customer.id, self._now)
        own = LimitSettings.model_validate(customer.limits)
        in_force = tightest([own, version.plan.limits] if version is not None else [own])
        coming = self._coming.get(customer.id)
        keys = self._keys.get(customer.id, [])
        counted = self._spent.get(customer.id, {})
        spent = {code: amount for code, amount in counted.items() if code and amount}
        if version is not None:
            spent.setdefault(version.plan.currency, 0)
        spent = dict(sorted(spent.items()))
        warnings = _warnings(in_force, spent, t("plans.whose_customer"))
        balance = self._balance(customer, in_force, set(spent))
        warnings += [
            t("plans.balance_gone", amount=exact_text(left, code), currency=code)
            for code, left in balance.items()
            if in_force.prepaid and left <= 0
        ]
        for key in keys:
            limits = LimitSettings.model_validate(key.limits)
            if limits.warning is None and limits.budget is None:
                continue
            of_key = {
                code: self._store.allowances.spent(
                    Counted(customer.id, self._month, key.line, code)
                )
                for code in spent
            }
            used = {code: amount for code, amount in of_key.items() if amount}
            warnings += _warnings(limits, used, t("plans.whose_key", prefix=key.prefix))
        return CustomerShown(
            id=customer.id,
            name=customer.name,
            created=customer.created,
            details=dict(customer.details),
            plan=version.name if version else None,
            plan_version=version.id if version else None,
            next_plan=coming.plan if coming else None,
            next_from=coming.effective if coming else None,
            limits=dict(customer.limits),
            in_force=in_force.stored(),
            keys=sum(key.revoked is None for key in keys),
            month=self._month,
            used=counted.get(None, 0),
            spent={code: exact_text(amount, code) for code, amount in spent.items()},
            warnings=warnings,
            balance={code: exact_text(left, code) for code, left in balance.items()},
        )

    def _balance(
        self, customer: Customer, in_force: LimitSettings, currencies: set[str]
    ) -> dict[str, int]:
        """What is left by currency. Of many customers only those are asked who pay beforehand."""
        if not self._alone and not in_force.prepaid:
            return {}
        accounts = self._store.allowances.accounts(customer.id)
        found = dict.fromkeys(currencies, 0) if in_force.prepaid else {}
        return dict(sorted((found | {c: one.left for c, one in accounts.items()}).items()))


class Customers:
    """The customers of one workspace. A customer is named by its name or its id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        name: str,
        *,
        plan: str | None = None,
        effective: datetime | None = None,
        limits: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> CustomerShown:
        """A new customer, on `plan` from `effective` (default: now) on. Raises `Conflict` when one
        has this name, `NotFound` for an unknown plan, `InvalidSettings` for limits that are none.
        """
        catalog = self._store.catalog
        holder = catalog.customer_named(name)
        if holder is not None:
            raise Conflict("plans.customer_exists", name=holder.name)
        # Before the customer is there: what does not fit leaves nothing behind.
        checked = _limits({}, limits)
        kept = _details({}, details)
        if plan is not None and not catalog.plan_versions(plan):
            from feilun.project.plans import Plans

            Plans(self._store).show(plan)  # raises, naming the plans there are
        customer = catalog.add_customer(name, unique=True)
        if checked or kept:
            catalog.set_customer(customer.id, limits=checked, details=kept)
        if plan is not None:
            subscribe(catalog, customer.id, plan, effective)
        return self.show(customer.id)

    def set(
        self,
        name: str,
        *,
        plan: str | None = None,
        no_plan: bool = False,
        effective: datetime | None = None,
        limits: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
        rename: str | None = None,
    ) -> CustomerShown:
        """Changes what is given: the plan from `effective` on (`no_plan`: list prices), limits and
        details one by one (None takes one away), the name. Raises as `add` does."""
        catalog = self._store.catalog
        customer = find_customer(self._store, name)
        holder = None if rename is None else catalog.customer_named(rename)
        if holder is not None and holder.id != customer.id:
            raise Conflict("plans.customer_exists", name=holder.name)
        if limits or details or rename:
            catalog.set_customer(
                customer.id,
                name=rename,
                limits=_limits(customer.limits, limits) if limits else None,
                details=_details(customer.details, details) if details else None,
            )
        if plan is not None or no_plan:
            subscribe(catalog, customer.id, plan, effective)
        return self.show(customer.id)

    def all(self, containing: str = "", *, offset: int = 0, limit: int | None = None) -> Listing:
        """The customers whose name or id contains `containing`, with their plan, their keys and
        what they spent this month: at most `limit` of them, after the first `offset`."""
        wanted = containing.casefold()
        found = [
            one
            for one in self._store.catalog.customers()
            if wanted in one.name.casefold() or wanted in one.id.casefold()
        ]
        look = _Look(self._store)
        end = None if limit is None else offset + limit
        shown = [look.at(customer) for customer in found[offset:end]]
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "plan": one.plan,
                "keys": one.keys,
                "used": one.used,
                "spent": dict(one.spent),
                "balance": dict(one.balance),
                "warnings": list(one.warnings),
            }
            for one in shown
        ]
        words = [
            [
                one.name + (" !" if one.warnings else ""),
                one.plan or t("plans.list_prices"),
                str(one.keys),
                f"{one.used:,}",
                ", ".join(f"{amount} {code}" for code, amount in one.spent.items()) or "0",
                ", ".join(f"{left} {code}" for code, left in one.balance.items()) or "–",
            ]
            for one in shown
        ]
        names = ("customer", "of_plan", "keys", "used_short", "spent_short", "balance_short")
        notes = [f"{one.name}: {warning}" for one in shown for warning in one.warnings]
        if len(shown) < len(found):
            notes.append(t("plans.some_of", shown=f"{len(shown):,}", count=f"{len(found):,}"))
        columns = [t(f"plans.{name}") for name in names]
        return Listing(rows, Table(t("plans.customers"), columns, words, notes))

    def show(self, name: str) -> CustomerShown:
        """One customer. Raises `NotFound`."""
        customer = find_customer(self._store, name)
        return _Look(self._store, customer.id).at(customer)

    def top_up(
        self,
        name: str,
        amount: str,
        *,
        currency: str | None = None,
        note: str = "",
        reference: str | None = None,
    ) -> CustomerShown:
        """Records that the customer paid `amount` (``"50.00"``) beforehand; a negative one takes
        back what was recorded. From the first on calls are answered while the balance lasts: the
        limit ``prepaid`` is set unless the plan has it. `currency` is by default the one that the
        customer pays in. With a `reference` (of the payment) it happens once.

        Raises `InvalidData` for no amount and for more taken back than is left, `Conflict` when the
        reference stands for another top-up, `UsageError` where the currency has to be said."""
        customer = find_customer(self._store, name)
        try:
            micro = micro_of(amount.strip().removeprefix("-"))
        except ValueError:
            raise InvalidData("billing.topup_amount", amount=amount) from None
        micro = -micro if amount.strip().startswith("-") else micro
        code = currency.upper() if currency else currency_of(self._store, customer)
        if not is_currency(code):
            raise InvalidData("billing.no_currency", given=code)
        record_topup(self._store, customer.id, micro, currency=code, note=note, reference=reference)
        if not _Look(self._store, customer.id).at(customer).in_force.get("prepaid"):
            return self.set(customer.id, limits={"prepaid": True})
        return self.show(customer.id)

    def topups(self, name: str) -> Listing:
        """What the customer paid beforehand, the newest first. Raises `NotFound`."""
        customer = find_customer(self._store, name)
        rows = [
            {
                "id": event.id,
                "created": event.created.isoformat() if event.created else "",
                "amount": exact_text(event.amount, event.currency),
                "currency": event.currency,
                "month": event.outcome.removeprefix(INVOICED) if ":" in event.outcome else None,
                "note": note,
            }
            for event, note in self._store.allowances.topups(customer.id)
        ]
        words = [
            [
                Moment(datetime.fromisoformat(row["created"])) if row["created"] else "",
                f"{row['amount']} {row['currency']}",
                t("plans.invoiced", month=row["month"]) if row["month"] else str(row["note"]),
            ]
            for row in rows
        ]
        columns = [t(f"plans.{name}") for name in ("topup_when", "use_amount", "topup_note")]
        notes = () if rows else (t("plans.no_topups"),)
        return Listing(rows, Table(t("plans.topups"), columns if rows else (), words, notes))

    def usage(self, name: str, *, days: int = 30) -> Listing:
        """What a customer used in the last `days` days, by day and endpoint, newest day first; in
        UTC. Raises `NotFound`."""
        customer = find_customer(self._store, name)
        since = datetime.now(UTC) - timedelta(days=days)
        found = self._store.ledger.usage(customer=customer.id, since=since, by=("day", "endpoint"))
        rows = [
            {
                "day": str(row.by["day"]),
                "endpoint": row.by["endpoint"],
                "calls": row.units.get("calls", 0),
                "inputs": row.units.get("inputs", 0),
                "amount": exact_text(row.amount, row.currency),
                "currency": row.currency,
            }
            for row in reversed(found)
        ]
        words = [
            [
                row["day"],
                row["endpoint"] or "–",
                f"{row['calls']:,}",
                f"{row['inputs']:,}",
                f"{row['amount']} {row['currency']}",
            ]
            for row in rows
        ]
        names = ("day", "endpoint", "calls", "answers", "amount")
        columns = [t(f"plans.use_{name}") for name in names] if rows else ()
        notes = () if rows else (t("plans.use_nothing", days=days),)
        return Listing(rows, Table("", columns, words, notes))


def _warnings(limits: LimitSettings, spent: Mapping[str, int], whose: str) -> list[str]:
    said = []
    for currency, amount in spent.items():
        used = exact_text(amount, currency)
        if limits.budget is not None and amount >= limits.budget:
            said.append(
                t(
                    "plans.budget_used",
                    whose=whose,
                    used=used,
                    limit=limits.monthly_budget,
                    currency=currency,
                )
            )
        elif limits.warning is not None and amount >= limits.warning:
            said.append(
                t(
                    "plans.budget_warning",
                    whose=whose,
                    used=used,
                    mark=limits.warn_at,
                    currency=currency,
                )
            )
    return said


def _limits(held: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    merged = {**held, **(changes or {})}
    for name in merged:
        if name not in LimitSettings.model_fields:
            options = list(LimitSettings.model_fields)
            raise InvalidData("plans.no_such_limit", given=name, options=options)
    given = {name: value for name, value in merged.items() if value is not None}
    return parse_limits(given).stored()


def _details(held: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    merged = {**held, **(changes or {})}
    if (merged.get("language") or LANGUAGES[0]) not in LANGUAGES:
        raise InvalidData("plans.wrong_language", given=merged["language"], options=LANGUAGES)
    tax_rate_of(merged.get("tax_rate"))
    return {name: value for name, value in merged.items() if value not in (None, "")}

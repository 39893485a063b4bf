"""Plans: what a customer pays for which unit, by volume, and what it may use.

A plan is a document (TOML or JSON)::

    currency = "EUR"
    monthly_minimum = "49.00"

    [[rates]]                       # project and endpoint are "*" unless named
    unit = "inputs"
    included = 10000
    tiers = [
      { up_to = 100000, per_1000 = "0.80" },
      { per_1000 = "0.50" },
    ]

    [limits]
    rate = 20
    monthly_budget = "500.00"

Its versions begin on a date and are never changed. What a month costs depends on the month's
volume: see `feilun.money.Tariff`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from feilun.billing.currency import is_currency, micro_of
from feilun.billing.limits import LimitSettings, Money
from feilun.config import describe_faults
from feilun.errors import Conflict, InvalidSettings, NotFound
from feilun.messages import t
from feilun.money import Tariff
from feilun.store.catalog import Catalog
from feilun.store.records import Price, Subscription

__all__ = [
    "UNITS",
    "Plan",
    "Rate",
    "Tier",
    "Unit",
    "parse_plan",
    "read_plan",
    "set_plan",
    "subscribe",
]

Unit = Literal[
    "calls",
    "inputs",
    "tokens",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "pixels",
    "audio_ms",
    "documents",
]
UNITS: tuple[Unit, ...] = get_args(Unit)
"""What can be charged for: ``tokens`` that a model only reads, ``tokens_in`` and ``tokens_out`` of
one that writes, and ``tokens_cached``, read earlier and kept, which are ``tokens_in`` in a plan
that does not price them; ``audio_ms`` are milliseconds of sound, ``documents`` those that are
brought to be ranked."""

_NAME = re.compile(r"[^\W_A-Z](?:[^\WA-Z]|-){0,62}")  # letters of any script, small ones of ours
_LARGEST = 2**53
"""Units that a tier may reach, so that every reader of the JSON has the same number."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tier(_Part):
    """One step of a price: up to which volume of the month it goes, and what 1,000 units cost."""

    up_to: int | None = Field(
        None, ge=1, le=_LARGEST, description="volume of the month that ends the tier; none: no end"
    )
    per_1000: Money = Field(description="price of 1,000 units in this tier, as text")


class Rate(_Part):
    """What one unit costs on calls of one project and endpoint, or of all."""

    project: str = Field("*", description='the project whose answers it prices; "*" for all')
    endpoint: str = Field("*", description='the endpoint that was called; "*" for all')
    unit: Unit = Field("inputs", description="what is counted")
    included: int = Field(0, ge=0, le=_LARGEST, description="units of each month that cost nothing")
    tiers: tuple[Tier, ...] = Field(description="steps of the price, rising; the last has no end")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        try:
            self.tariff()
        except ValueError:
            raise ValueError(t("billing.rule_tiers")) from None
        return self

    def tariff(self) -> Tariff:
        """The steps with what is included as a first one at nothing. Tiers count the month's whole
        volume: included units are part of it."""
        tiers = [(tier.up_to, micro_of(tier.per_1000)) for tier in self.tiers]
        if self.included:
            tiers = [(self.included, 0), *tiers]
        return Tariff(tuple(tiers))

    def fits(self, project: str, endpoint: str) -> bool:
        """Whether it prices calls of this project at this endpoint."""
        return self.project in ("*", project) and self.endpoint in ("*", endpoint)

    @property
    def narrowness(self) -> tuple[bool, bool]:
        """Of several rates for one unit the narrowest holds: an endpoint's before a project's."""
        return self.endpoint != "*", self.project != "*"

    def line(self, plan: str) -> str:
        """The name of what it counts: ``pro/reviews/*:inputs``. It is the same in every version of
        the plan, so that a new price goes on where the month stands."""
        return f"{plan}/{self.project}/{self.endpoint}:{self.unit}"


class Plan(_Part):
    """A plan's document."""

    currency: str = Field(description="ISO 4217 code of the currency")
    description: str = Field("", max_length=500, description="what customers read of the plan")
    monthly_minimum: Money = Field(
        "0", description="money that a month costs at least; invoices add what is missing"
    )
    rates: tuple[Rate, ...] = Field(
        (), description="what each unit costs; calls that no rate fits cost the list price"
    )
    limits: LimitSettings = Field(
        LimitSettings(), description="what each customer of the plan may use at most"
    )

    @field_validator("currency")
    @classmethod
    def _is_listed(cls, code: str) -> str:
        if not is_currency(code):
            raise ValueError(t("billing.rule_currency"))
        return code

    @model_validator(mode="after")
    def _tells_rates_apart(self) -> Self:
        seen = set()
        for rate in self.rates:
            if rate.line("") in seen:
                raise ValueError(t("billing.rule_same_rate", rate=rate.line("")[1:]))
            seen.add(rate.line(""))
        return self

    @property
    def minimum(self) -> int:
        """`monthly_minimum` in micro-units."""
        return micro_of(self.monthly_minimum)

    def rates_for(self, project: str, endpoint: str) -> tuple[Rate, ...]:
        """The rate of each unit that a call of `project` at `endpoint` is priced by."""
        best: dict[str, Rate] = {}
        for rate in self.rates:
            held = best.get(rate.unit)
            if rate.fits(project, endpoint) and (held is None or rate.narrowness > held.narrowness):
                best[rate.unit] = rate
        return tuple(best.values())

    def stored(self) -> dict[str, Any]:
        """The document as it is kept: every field but those that are not set."""
        return self.model_dump(mode="json", exclude_none=True)


def parse_plan(raw: Mapping[str, Any], where: str) -> Plan:
    """`raw` as a plan. Raises `InvalidSettings` with every fault; `where` says whose they are."""
    try:
        return Plan.model_validate(raw)
    except ValidationError as error:
        faults = describe_faults(error)
        raise InvalidSettings("billing.plan", where=where, faults=faults) from None


def read_plan(file: Path) -> tuple[str, Plan]:
    """The plan in a TOML or JSON file, and its name: what the document says under ``name``, else
    the file's. Raises `NotFound` without the file, `InvalidSettings` for what is no plan."""
    try:
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise NotFound("billing.no_plan_file", file=file) from None
    except UnicodeDecodeError:
        raise InvalidSettings("config.not_utf8", file=file, faults=()) from None
    try:
        raw = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise InvalidSettings("billing.plan", where=file, faults=(str(error),)) from None
    if not isinstance(raw, dict):
        raise InvalidSettings("billing.plan", where=file, faults=(t("config.rule_table"),))
    name = str(raw.pop("name", file.stem))
    return name, parse_plan(raw, str(file))


def set_plan(
    catalog: Catalog,
    name: str,
    plan: Plan,
    effective: datetime | None = None,
    now: datetime | None = None,
) -> Price:
    """Makes `plan` the version of the plan `name` from `effective` (default: now) on. The version
    that is in force then is kept when it says the same.

    Only the first version of a plan may begin in the past: nobody has been charged by it yet.
    Later versions begin now or later, because prices never change in the past; one that has not
    begun is replaced by another for the same moment. A plan stays in its currency. Raises
    `InvalidSettings` for a name that is none, `Conflict` for a date or a currency that may not be.
    """
    if not _NAME.fullmatch(name):
        faults = (t("config.rule_pattern", pattern=_NAME.pattern),)
        raise InvalidSettings("billing.plan", where=name, faults=faults)
    moment = now or datetime.now(UTC)
    versions = catalog.plan_versions(name)
    if versions:
        _not_before(effective, moment, name)
        if versions[0].currency != plan.currency:
            raise Conflict(
                "billing.plan_currency", plan=name, has=versions[0].currency, given=plan.currency
            )
    document = plan.stored()
    for rate in document["rates"]:  # calls carry the names that never change
        rate.update(_identities(catalog, rate))
    return catalog.add_plan(name, document, plan.currency, effective or now)


def _identities(catalog: Catalog, rate: Mapping[str, Any]) -> dict[str, str]:
    """The project and the endpoint that a rate names, where it names a project by what it was
    renamed to."""
    found = {}
    known = {name: project for project in catalog.projects() for name in project.names}
    endpoints = {project.endpoint for project in catalog.projects()}
    if (project := known.get(rate.get("project", "*"))) is not None:
        found["project"] = project.name
    given = rate.get("endpoint", "*")
    if given not in endpoints and (project := known.get(given)) is not None:
        found["endpoint"] = project.endpoint
    return found


def subscribe(
    catalog: Catalog,
    customer: str,
    plan: str | None,
    effective: datetime | None = None,
    now: datetime | None = None,
) -> Subscription:
    """Puts `customer` (an id) on `plan` from `effective` (default: now) on; None: on no plan.

    Never from a moment in the past: what was answered then has been charged. Raises `Conflict` for
    such a date, `NotFound` for an unknown customer or plan.
    """
    _not_before(effective, now or datetime.now(UTC), plan or "-")
    return catalog.subscribe(customer, plan, effective or now)


def _not_before(effective: datetime | None, moment: datetime, plan: str) -> None:
    if effective is not None and effective < moment:
        raise Conflict(
            "billing.in_the_past",
            plan=plan,
            given=f"{effective:%Y-%m-%d %H:%M}",
            now=f"{moment:%Y-%m-%d %H:%M}",
        )

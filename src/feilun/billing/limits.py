"""What a key or a customer may use at most, as it is set: on a key, a customer or a plan.

`feilun.billing.limiter` holds calls to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic import model_validator as checked

from feilun.billing.currency import micro_of
from feilun.config import describe_faults
from feilun.errors import InvalidSettings
from feilun.messages import t

__all__ = ["LimitSettings", "Money", "parse_limits", "tightest"]


def _as_text(value: Any) -> Any:
    """Whole numbers are money too; a float is not, because its decimals are not what was typed."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_money(text: str) -> str:
    try:
        micro_of(text)
    except ValueError:
        raise ValueError(t("billing.rule_money")) from None
    return text.strip()


Money = Annotated[str, BeforeValidator(_as_text), AfterValidator(_is_money)]
"""Decimal text with six decimals at most: ``"12.50"``."""


class LimitSettings(BaseModel):
    """The limits of a key, a customer or a plan; what is None is not limited.

    Of several that hold for a call the tightest holds, field by field. Months are UTC; budgets are
    in the currency that the calls are priced in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: float | None = Field(
        None, gt=0, le=1_000_000, description="calls a second in the long run"
    )
    burst: int | None = Field(
        None, ge=1, le=1_000_000, description="calls at once after a pause; by default one second's"
    )
    concurrency: int | None = Field(None, ge=1, description="calls that run at the same time")
    monthly_inputs: int | None = Field(None, ge=0, description="inputs answered in a month")
    monthly_budget: Money | None = Field(
        None, description="money in a month; a call that would go beyond is refused"
    )
    warn_at: Money | None = Field(
        None, description="money in a month from which answers carry a warning"
    )

    prepaid: bool | None = Field(
        None, description="calls are answered while the customer's balance lasts"
    )

    @checked(mode="after")
    def _fits(self) -> Self:
        if self.burst is not None and self.rate is None:
            raise ValueError(t("billing.rule_burst"))
        if None not in (self.budget, self.warning) and (self.warning or 0) > (self.budget or 0):
            raise ValueError(t("billing.rule_warn_at"))
        return self

    @property
    def calls_at_once(self) -> int:
        """The size of the bucket: `burst`, or one second of `rate`."""
        return self.burst or max(1, math.ceil(self.rate or 1))

    @cached_property
    def budget(self) -> int | None:
        """`monthly_budget` in micro-units."""
        return None if self.monthly_budget is None else micro_of(self.monthly_budget)

    @cached_property
    def warning(self) -> int | None:
        """`warn_at` in micro-units."""
        return None if self.warn_at is None else micro_of(self.warn_at)

    def stored(self) -> dict[str, Any]:
        """What is kept of it: the fields that are set."""
        return self.model_dump(mode="json", exclude_none=True)


def parse_limits(raw: Mapping[str, Any], where: str = "limits") -> LimitSettings:
    """`raw` as limits. Raises `InvalidSettings` with every fault; `where` says whose they are."""
    try:
        return LimitSettings.model_validate(raw)
    except ValidationError as error:
        faults = describe_faults(error)
        raise InvalidSettings("billing.limits", where=where, faults=faults) from None


def tightest(several: Iterable[LimitSettings]) -> LimitSettings:
    """One set of limits that allows what all of `several` allow."""
    found: dict[str, Any] = {}
    for one in several:
        for name in ("rate", "concurrency", "monthly_inputs"):
            _take_smaller(found, name, getattr(one, name), lambda value: value)
        for name in ("monthly_budget", "warn_at"):
            _take_smaller(found, name, getattr(one, name), micro_of)
        if one.prepaid:
            found["prepaid"] = True
        if one.rate is not None:
            _take_smaller(found, "burst", one.calls_at_once, lambda value: value)
    if "monthly_budget" in found and "warn_at" in found:
        _take_smaller(found, "warn_at", found["monthly_budget"], micro_of)
    return LimitSettings(**found)


def _take_smaller(found: dict[str, Any], name: str, value: Any, size: Any) -> None:
    if value is not None and (name not in found or size(value) < size(found[name])):
        found[name] = value

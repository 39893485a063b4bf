"""The next values of series."""

from __future__ import annotations

from pydantic import Field

from feilun.families.forecasts import FORECASTS
from feilun.modalities.series.task import MAX_HORIZON, Series
from feilun.modalities.table.task import TableSettings
from feilun.types import Example

__all__ = ["Settings", "Task"]


class Settings(TableSettings):
    """The ``[task]`` table of a project that forecasts series."""

    horizon: int | None = Field(
        None,
        ge=1,
        le=MAX_HORIZON,
        description="steps ahead that versions are trained and judged for; by default a day, two "
        "weeks or a year of them",
    )
    frequency: str | None = Field(
        None,
        description="how far one value is from the next: hour, 30 min, day, business day, week, "
        "month, quarter, year; by default found from the times",
    )
    season: int | None = Field(
        None, ge=1, description="steps after which a series repeats; by default found; 1 for none"
    )


class Task(Series):
    """What comes next: sales of the next two weeks, the load of the next day, with intervals.

    The input is a series and a time after its last value, or a number of steps; the answer is the
    value with an interval. Rows hold one value each: a column of times, one of values, one that
    names the series where there are several, and any others that are known beforehand. The linear
    baseline repeats the last season.
    """

    summary = "tasks.forecasting"
    family = FORECASTS
    Settings = Settings
    label_aliases = (
        "value", "y", "target", "demand", "sales", "quantity", "amount", "count", "ridership",
        "load", "price", "visits", "orders", "consumption", "x", "revenue", "units",
        "数值", "销量", "销售额", "数量", "金额", "需求", "需求量", "用电量", "负荷", "客流",
        "客流量", "订单量", "访问量", "温度",
    )  # fmt: skip
    examples = (
        Example("1", {"series": "north", "time": "2026-03-02", "promotion": 0.0}, "118"),
        Example("2", {"series": "north", "time": "2026-03-03", "promotion": 1.0}, "164"),
        Example("3", {"series": "south", "time": "2026-03-03", "promotion": 0.0}, "87.5"),
    )

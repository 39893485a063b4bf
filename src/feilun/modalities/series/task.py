"""Series: rows of a table that are values of something at a time. Which column is the time, which
names the series, and which are known beside the value (covariates) is found from the first data."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from feilun.errors import InvalidData
from feilun.families.forecasts import time_text
from feilun.modalities import recognise
from feilun.modalities.base import Column, Features, Processor, RowReader
from feilun.modalities.noise import Disturbance
from feilun.modalities.pieces import Pieces
from feilun.modalities.series import history, network
from feilun.modalities.series.history import HISTORY, START
from feilun.modalities.series.times import dated, when
from feilun.modalities.series.wide import Wide, by_series, by_times
from feilun.modalities.table import column_kinds
from feilun.modalities.table.features import TableFeatures
from feilun.modalities.table.task import MAX_COLUMNS, Table, cell
from feilun.modalities.times import NAMES
from feilun.types import ColumnSample, Item, Output, Roles, Scalar

__all__ = ["MAX_HORIZON", "SERIES", "TIME", "Series"]

SERIES, TIME, HORIZON = "series", "time", "horizon"
MAX_HORIZON = 10_000
"""Values that one input may ask for."""
_RELATIVE = re.compile(r"\+(\d{1,5})")
_SHOWN = 20
_TIMES = (
    *NAMES, "ds", "day", "week", "month", "quarter", "year", "period", "hour", "start", "end",
    "月份", "年月", "年份", "季度", "周", "统计日期", "销售日期", "交易日期", "记录时间",
)  # fmt: skip
_NAMES = (
    SERIES, "unique_id", "series_id", "item_id", "item", "sku", "product", "product_id", "store",
    "store_id", "shop", "branch", "station", "sensor", "sensor_id", "meter", "meter_id", "device",
    "machine", "region", "city", "site",
    "序列", "门店", "店铺", "商店", "商品", "产品", "品类", "站点", "传感器", "电表", "设备",
    "机器", "地区", "城市",
)  # fmt: skip
_LOOSE_NAMES = ("id", "name", "code", "编号", "名称", "代码")  # which often count the rows
_COUNTED = ("step", "t", "index", "rownames", "row_number", "n", "序号", "行号")


class Series(Table):
    """The input side of a task on series. Items are ``{"series": ..., "time": ...}`` with the
    covariates; of data with one series alone ``series`` is None. A caller may ask for ``horizon``
    values after the last known one instead of a ``time``."""

    observations = False  # a series has one value at a time
    split_by = "series"
    named_inputs = (SERIES, TIME)
    _names_given: Mapping[str, str] = {}
    _shown: str | None = None

    @property
    def modality(self) -> str:
        """``series``."""
        return "series"

    def bound(self, settings: Mapping[str, Any]) -> Self:
        """With the columns that ``settings["inputs"]`` lists. ``settings["names"]`` tells how the
        data calls series and time, so that callers may do so too, ``settings["shown"]`` names one
        of its series."""
        task = copy.copy(super().bound(settings))
        task._names_given = dict(settings.get("names") or {})
        task._shown = settings.get("shown")
        return task

    def inputs(self) -> dict[str, Any]:
        """The columns and the data's own names of series and time."""
        found = super().inputs()
        named = {"names": dict(self._names_given), "shown": self._shown}
        return {**found, **named} if found else found

    def called(self) -> Mapping[str, str | None]:
        """Series and time by the data's own names; data with one series names none."""
        own = dict.fromkeys(self.named_inputs) | dict(self._names_given)
        return {**super().called(), **own}

    def find_columns(
        self,
        columns: Sequence[ColumnSample],
        settings: Mapping[str, Any],
        roles: Roles | None = None,
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Series and time by their names and values; the covariates' kinds as of any table, but
        for texts, which are left out. Of a wide table there are no covariates."""
        wide = None if roles is None else self._wide_again(columns, roles)
        if wide is not None and roles is not None and roles.label is not None:
            return {**settings, **wide}, {roles.label: "forecasts.wide"}
        names = self._named(columns)
        own = set(names.values())
        rest = [column for column in columns if column.name not in own]
        given = dict(settings.get("columns") or {})
        kinds, out = column_kinds.find(rest, given) if rest else ({}, {})
        for name in [name for name, kind in kinds.items() if kind in ("text", "date")]:
            del kinds[name]
            out[name] = "forecasts.out_kind"
        if len(kinds) > MAX_COLUMNS:
            raise InvalidData("tables.too_many_columns", columns=len(kinds), limit=MAX_COLUMNS)
        times = next(column.values for column in columns if column.name == names[TIME])
        inputs = [[SERIES, "category"], [TIME, "date" if dated(times) else "number"]]
        inputs += [[name, kind] for name, kind in kinds.items() if name not in (SERIES, TIME)]
        first = next((c.values[0] for c in columns if c.name == names.get(SERIES)), None)
        known = None if first is None else str(cell(first, Column(SERIES, "category")))
        return {**settings, "inputs": inputs, "names": names, "shown": known}, out

    def recognise(self, columns: Sequence[ColumnSample]) -> Roles:
        """The value by its usual names, else the only other column of numbers; time and series by
        their names and values; all others are covariates, of a bound task those that it has. Of a
        wide table the label is one of the columns of values, which stand among the inputs."""
        wide = self._wide(columns)
        if wide is not None:
            inputs = {name: name for name in wide.values[:_SHOWN]}
            if wide.time is not None:
                inputs[TIME] = wide.time
            if len(wide.series) == 1:
                inputs[SERIES] = wide.series[0]
            return Roles(inputs, wide.values[0])
        label = recognise.named(columns, ("label", *self.label_aliases))
        rest = [column for column in columns if column.name != label]
        names = self._named(rest)
        own = set(names.values())
        others = [column.name for column in rest if column.name not in own]
        if label is None:
            label = self._only_numbers([c for c in rest if c.name in others])
            others = [name for name in others if name != label]
        if self.columns:
            known = {column.name for column in self.columns}
            others = [name for name in others if name in known]
        return Roles({**names, **{name: name for name in others}}, label)

    def _wide(self, columns: Sequence[ColumnSample]) -> Wide | None:
        """How a wide table is read; None for one with a row for each value."""
        found = by_times(columns)
        if found is not None:
            return found
        if recognise.named(columns, ("label", *self.label_aliases)) is not None:
            return None
        try:
            names = self._named(columns)
        except InvalidData:
            return None
        return None if SERIES in names else by_series(columns, names[TIME])

    def _wide_again(self, columns: Sequence[ColumnSample], roles: Roles) -> dict[str, Any] | None:
        """The settings for a table that `recognise` read as wide, where it did."""
        if roles.label is None or roles.label not in roles.inputs.values():
            return None
        time = roles.inputs.get(TIME)
        times = [c.values for c in columns if c.name == time]
        kind = "date" if not times or dated(times[0]) else "number"
        names = {} if time is None else {TIME: time}
        if SERIES in roles.inputs:
            names[SERIES] = roles.inputs[SERIES]
        return {"inputs": [[SERIES, "category"], [TIME, kind]], "names": names, "shown": None}

    def reader(self, samples: Sequence[ColumnSample]) -> RowReader | None:
        """Of wide tables a row for each value."""
        wide = self._wide(samples)
        return None if wide is None else lambda item, raw, values: wide.rows(values)

    def _only_numbers(self, columns: Sequence[ColumnSample]) -> str | None:
        numeric = [
            column.name
            for column in columns
            if (filled := [v for v in column.values if not column_kinds.missing(v)])
            and all(column_kinds.number(value) is not None for value in filled)
            and not recognise.is_named(column.name, (*recognise.ID, *_COUNTED))
        ]
        return numeric[0] if len(numeric) == 1 else None

    def _named(self, columns: Sequence[ColumnSample]) -> dict[str, str]:
        """The columns of time and, where there is one, of series. Raises `InvalidData` without a
        time, naming the columns."""
        by_name = {column.name: column for column in columns}
        time = self._time(columns, by_name)
        if time is None:
            raise InvalidData("forecasts.no_time", columns=[c.name for c in columns][:_SHOWN])
        rest = [column for column in columns if column.name != time]
        given = [self._names_given.get(SERIES, "")]
        series = next((name for name in (SERIES, *given) if name in by_name and name != time), None)
        if series is None:
            repeated = [c for c in rest if 1 <= len(set(map(str, c.values))) < len(c.values)]
            series = recognise.named(rest, _NAMES) or recognise.named(repeated, _LOOSE_NAMES)
            if series is None and _repeats(by_name[time]):
                series = _telling(repeated, by_name[time])
        return {TIME: time} if series is None else {SERIES: series, TIME: time}

    def _time(
        self, columns: Sequence[ColumnSample], by_name: Mapping[str, ColumnSample]
    ) -> str | None:
        for name in (TIME, self._names_given.get(TIME, "")):
            if name in by_name:
                return name
        able = [column for column in columns if _is_times(column)]
        named = recognise.named(able, _TIMES)
        if named:
            return named
        dates = [column for column in able if dated(column.values)]
        part = next((c.name for c in dates if recognise.is_named(c.name, _TIMES)), None)
        if part or dates:
            return part or dates[0].name
        return recognise.named(able, _COUNTED)

    # Bases

    def counter(self, folder: Path, settings: Mapping[str, Any]) -> Processor | None:
        """None: a network of series reads values."""
        network.config_of(folder)
        return None

    def unfit(self, base: Path) -> str | None:
        """What was not trained to forecast."""
        return network.unfit(base)

    # Items

    def check(self, item: Item) -> Item:
        """A row with its time in one form and its covariates, None where one is missing; or a row
        with ``horizon``. The data's own names of series and time are taken too.

        Raises `InvalidData` as a table does, and for what is no time or no horizon.
        """
        if not isinstance(item, Mapping):
            raise InvalidData("tables.not_a_row", columns=self._names())
        row = dict(item)
        for name, called in self._names_given.items():
            if name not in row and called in row:
                row[name] = row[called]
        known = {column.name for column in self.columns}
        ahead = row.get(HORIZON) if HORIZON not in known else None
        if ahead is None and not any(name in row for name in known):
            given = [str(name)[:40] for name in item][:_SHOWN]
            raise InvalidData("tables.no_known_column", given=given or ["-"], columns=self._names())
        found: dict[str, Any] = {}
        for column in self.columns:
            if column.name == TIME:
                found[TIME] = self._moment(row.get(TIME), column, ahead is not None)
            else:
                found[column.name] = cell(row.get(column.name), column)
        if ahead is not None:
            found[HORIZON] = _horizon(ahead)
        if row.get(HISTORY) is not None and not self._has(HISTORY):
            found[HISTORY] = history.checked(row)
            time = next((c for c in self.columns if c.name == TIME), Column(TIME, "date"))
            found[START] = self._moment(row[START], time, False)
            if _is_relative(found[START]):
                raise InvalidData("forecasts.needs_start", values=len(found[HISTORY]))
        return found

    def without_options(self, item: Item) -> Item:
        """The row without the values that came with the call."""
        if not isinstance(item, Mapping) or HISTORY not in item or self._has(HISTORY):
            return item
        return {name: value for name, value in item.items() if name not in (HISTORY, START)}

    def _moment(self, value: Any, column: Column, may_lack: bool) -> Scalar:
        if column_kinds.missing(value):
            if may_lack:
                return None
            raise InvalidData("forecasts.needs_time")
        if isinstance(value, str) and _RELATIVE.fullmatch(value.strip()):
            return value.strip()
        if column.kind == "number":
            found = column_kinds.number(value)
            if found is None or not math.isfinite(found):
                raise InvalidData("forecasts.not_a_step", given=str(value)[:40])
            return found
        if isinstance(value, (dict, list, bytes)):
            raise InvalidData("tables.not_a_cell", column=TIME, given=type(value).__name__)
        return time_text(when(value, self._names_given.get(TIME, TIME)), True)

    def expand(self, item: Item) -> Sequence[Item]:
        """Of a row with a ``horizon`` one row for each step ahead, ``+1``, ``+2``, …; else itself.
        Covariates that were given stay as they are."""
        if not isinstance(item, Mapping) or HORIZON not in item or self._has(HORIZON):
            return (item,)
        rest = {name: value for name, value in item.items() if name != HORIZON}
        return [{**rest, TIME: f"+{step}"} for step in range(1, int(item[HORIZON]) + 1)]  # type: ignore[arg-type]

    def kept(self, item: Item, output: Output) -> Item:
        """With the time that the answer is about, instead of how many steps ahead it was, and
        without the values that came with it."""
        item = self.without_options(item)
        if not isinstance(item, Mapping) or not _is_relative(item.get(TIME)):
            return item
        time: Scalar = output["time"]
        if any(column.name == TIME and column.kind == "number" for column in self.columns):
            time = float(output["time"])
        return {**item, TIME: time}

    def _has(self, name: str) -> bool:
        return any(column.name == name for column in self.columns)

    def ordered(self, item: Item) -> tuple[str, float] | None:
        """The series of a checked row and its time."""
        if not isinstance(item, Mapping):
            return None
        time = item.get(TIME)
        if time is None or _is_relative(time):
            return None
        series = item.get(SERIES)
        seconds = when(time, TIME) if isinstance(time, str) else float(time)
        return "" if series is None else str(series), seconds

    def input_schema(self) -> dict[str, Any]:
        """As of a table; ``horizon`` beside the columns."""
        schema = super().input_schema()
        if self.columns and not self._has(HORIZON):
            horizon = {"type": "integer", "minimum": 1, "maximum": MAX_HORIZON}
            kinds = [horizon, {"type": "null"}]
            if not self._has(HISTORY):
                schema["properties"] |= history.schemas()
            schema["properties"][HORIZON] = {"anyOf": kinds, "description": "steps ahead"}
        return schema

    def features(
        self, settings: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> Features:
        """Series and covariates, without the time, which never comes again: what drift compares."""
        columns = self.columns or self.bound(settings).columns
        return TableFeatures(tuple((c.name, c.kind) for c in columns if c.name != TIME), state)

    def pieces(self, item: Item) -> Pieces | None:
        """None: a forecast is made of the past, which is no part of the item."""
        return None

    def disturbances(self) -> Mapping[str, Disturbance]:
        """None: no change of a time leaves its value as it is."""
        return {}

    def example_items(self) -> list[Item]:
        """The inline examples; of a task bound to other columns the next values of a series."""
        names = {column.name for column in self.columns}
        own = [example.item for example in self.examples]
        if not names or any(isinstance(item, Mapping) and set(item) == names for item in own):
            return own
        return [self.check({SERIES: self._shown, TIME: f"+{step}"}) for step in (1, 2)]


def steps_ahead(time: Any) -> int | None:
    """How many steps after the last value ``+3`` means; None for any other time."""
    found = _RELATIVE.fullmatch(time) if isinstance(time, str) else None
    return int(found[1]) if found else None


def _is_relative(time: Any) -> bool:
    return steps_ahead(time) is not None


def _horizon(value: Any) -> int:
    found = None if isinstance(value, (bool, dict, list, bytes)) else column_kinds.number(value)
    if found is None or not float(found).is_integer() or not 1 <= found <= MAX_HORIZON:
        raise InvalidData("forecasts.bad_horizon", given=str(value)[:40], limit=MAX_HORIZON)
    return int(found)


def _is_times(column: ColumnSample) -> bool:
    """Whether the values can be times: dates, or numbers."""
    values = [value for value in column.values if not column_kinds.missing(value)]
    if not values or len({str(value) for value in values}) < 2:
        return False
    if not dated(values):
        return all(column_kinds.number(value) is not None for value in values)
    good = 0
    for value in values[:200]:
        try:
            when(value, column.name)
            good += 1
        except InvalidData:
            pass
    return good >= 0.8 * len(values[:200])


def _repeats(column: ColumnSample) -> bool:
    return len({str(value) for value in column.values}) < len(column.values)


def _telling(columns: Sequence[ColumnSample], time: ColumnSample) -> str | None:
    """The first column of categories by which rows of one time can be told apart."""
    times = [str(value) for value in time.values]
    for column in columns:
        if all(isinstance(value, str) or value is None for value in column.values):
            pairs = {(str(v), t) for v, t in zip(column.values, times, strict=True)}
            if len(pairs) == len(times):
                return column.name
    return None

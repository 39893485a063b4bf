"""Forecasts of series, answered inline.

``series.safetensors`` and ``series.json`` hold the history (`SeriesState`), from which every answer
starts; what was learnt lies beside it, as the version's ``model`` says. A version whose model is
``naive`` has nothing beside, one whose model is ``foundation`` a network in ``network``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from feilun.engines._error_levels import Levels
from feilun.engines._ets import Ets
from feilun.engines._foundation import Foundation
from feilun.engines._inline import InlineEngine
from feilun.engines._lags import Lags
from feilun.engines._theta import Theta
from feilun.engines._turns import TURNS
from feilun.engines.card import Card
from feilun.engines.torch import set_threads
from feilun.errors import CorruptArtifact, InvalidData
from feilun.families.forecasts import BLOCK, BLOCKS, LEAD, SCALE, SPREAD, TIME, VALUE, WIDTH
from feilun.modalities.series.history import HISTORY, START
from feilun.modalities.series.state import SeriesState
from feilun.modalities.series.task import SERIES, steps_ahead
from feilun.modalities.series.task import TIME as WHEN
from feilun.modalities.series.times import when
from feilun.modalities.table.features import TableFeatures
from feilun.types import EngineRequest, Item, Output

__all__ = ["FORMATS", "ForecastEngine", "Forecaster", "load", "write_series"]

FORMATS = ("forecasts",)
_ARRAYS, _HEAD = "series.safetensors", "series.json"
_FAR = 20
"""Horizons beyond the end of a series up to which anything is said."""
_SHOWN = 10
_SLOW, _COSTLY = ("ets",), ("foundation",)
"""Models that values which come with a call keep busy for milliseconds, and for longer."""


class Forecaster(Protocol):
    """What was learnt: from `series` (places in the state), `steps`, `origins` (how many values may
    be used) and covariates (rows, columns) the values, float64 (rows,)."""

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray: ...

    def of(self, state: SeriesState, place: int) -> Forecaster:
        """The same for values that came with a call: those of `state`, whose one series with values
        is at `place`."""
        ...


class Naive:
    """The last season once more."""

    def __call__(
        self,
        state: SeriesState,
        series: np.ndarray,
        steps: np.ndarray,
        origins: np.ndarray,
        covariates: np.ndarray,
    ) -> np.ndarray:
        """See `Forecaster`."""
        return state.naive(series, steps, origins)

    def of(self, state: SeriesState, place: int) -> Naive:
        """See `Forecaster`."""
        return self


class ForecastEngine(InlineEngine):
    """Answers from a `forecasts` version."""

    name = "forecasts"

    def __init__(self, folder: Path, card: Card) -> None:
        model = _model(card)
        self._costly = model in _COSTLY
        super().__init__(card, slow=self._costly or model in _SLOW)
        self._state, self._beside = _read(folder, card)
        self._codes = {name: place for place, name in enumerate(self._state.names)}
        self._forecast = forecaster(folder, card, self._state)
        self._levels = Levels.read(folder, self._state)
        kinds = dict(card.schema.settings.get("inputs") or ())
        self._dated = kinds.get(WHEN, "date") == "date"
        if self._costly:
            TURNS.join(self, 1)

    @property
    def info(self) -> Mapping[str, Any]:
        return {**super().info, "costly": self._costly}

    def close(self) -> None:
        super().close()
        TURNS.forget(self)

    def raw(self, items: Sequence[Item]) -> np.ndarray:
        """See `feilun.families.forecasts`; NaN as the value where the series is not known."""
        with TURNS.take(self) if self._costly else nullcontext():
            return self._raw(items)

    def _raw(self, items: Sequence[Item]) -> np.ndarray:
        raw = np.full((len(items), WIDTH), np.nan)
        raw[:, SCALE] = raw[:, LEAD] = raw[:, SPREAD] = 1.0
        raw[:, BLOCK] = -1.0
        raw[:, TIME] = 0.0
        found = np.array([self._place(item) for item in items], np.int64)
        given: dict[tuple[int, int], list[int]] = {}
        for row, item in enumerate(items):
            values = _brought(item)
            if values is not None:  # one list for all times that are asked of it
                given.setdefault((id(values), int(found[row])), []).append(row)
        for (_, place), places in given.items():
            place = place if place >= 0 else len(self._state.names)
            first: Any = items[places[0]]
            start = self._seconds(first[START])
            state = self._state.brought(place, start, np.array(first[HISTORY], np.float64))
            forecast = self._forecast.of(state, place)
            rows = np.array(places)
            series = np.full(len(rows), place)
            self._fill(raw, items, rows, series, state, forecast, None)
            found[rows] = -1
        rows = np.flatnonzero(found >= 0)
        self._fill(raw, items, rows, found[rows], self._state, self._forecast, self._levels)
        return raw

    def _fill(
        self,
        raw: np.ndarray,
        items: Sequence[Item],
        rows: np.ndarray,
        series: np.ndarray,
        state: SeriesState,
        forecast: Forecaster,
        levels: Levels | None,
    ) -> None:
        """Fills the `rows` of `raw`, which ask of `series` of `state`."""
        if not len(rows):
            return
        steps = self._steps([items[row] for row in rows.tolist()], series, state)
        raw[rows, TIME] = state.times(series, steps)
        inside = steps >= 0
        rows, series, steps = rows[inside], series[inside], steps[inside]
        origins = state.origins(series, steps)
        beside = covariates(self._beside, [items[row] for row in rows.tolist()])
        raw[rows, VALUE] = forecast(state, series, steps, origins, beside)
        raw[rows, SCALE] = raw[rows, SPREAD] = state.scales[series]
        if levels is not None:
            raw[rows, SPREAD] *= levels.at(state, series, origins)
        raw[rows, LEAD] = np.maximum(steps - origins + 1, 1)
        raw[rows, BLOCK] = series * BLOCKS + origins

    def _place(self, item: Item) -> int:
        """The place of an item's series, -1 where it is not known."""
        name = item.get(SERIES) if isinstance(item, Mapping) else None
        if name is None:
            return 0 if len(self._codes) == 1 else self._codes.get("", -1)
        return self._codes.get(str(name), -1)

    def _steps(self, items: Sequence[Item], series: np.ndarray, state: SeriesState) -> np.ndarray:
        times = [item[WHEN] if isinstance(item, Mapping) else item for item in items]
        ahead = [steps_ahead(time) for time in times]
        fixed = np.array([number is None for number in ahead], bool)
        steps = np.array([number or 0 for number in ahead], np.int64) - 1
        steps += state.lengths[series]
        if fixed.any():
            given = [time for time, one in zip(times, fixed, strict=True) if one]
            exact = np.array([self._seconds(time) for time in given])
            steps[fixed] = state.steps(series[fixed], exact)
        return steps

    def _seconds(self, time: Any) -> float:
        return when(time, WHEN) if self._dated else float(time)

    def outputs(self, request: EngineRequest) -> list[Output]:
        """As any inline engine; raises `InvalidData` for what has no answer."""
        items = request.items
        raw = self.raw(items)
        far = (raw[:, LEAD] > _FAR * self._state.horizon) | np.isnan(raw[:, VALUE])
        for place in np.flatnonzero(far).tolist():
            raise self._refusal(items[place], place, raw[place])
        return self._decode(raw, request.all_scores)

    def _refusal(self, item: Item, place: int, raw: np.ndarray) -> InvalidData:
        param = f"inputs[{place}]"
        series = str(item.get(SERIES) if isinstance(item, Mapping) else "")[:60]
        if self._place(item) < 0 and _brought(item) is None:
            names = list(self._state.names)[:_SHOWN]
            return InvalidData(
                "forecasts.unknown_series",
                series=series,
                options=names,
                total=len(self._state.names),
                param=param,
            )
        code = "forecasts.too_far" if raw[LEAD] > 1 else "forecasts.too_early"
        steps = _FAR * self._state.horizon
        return InvalidData(code, time=str(item[WHEN])[:40], steps=steps, param=param)  # type: ignore[index,call-overload]


def _brought(item: Item) -> Any:
    """The values that came with the call; None without any."""
    return item.get(HISTORY) if isinstance(item, Mapping) else None


def forecaster(folder: Path, card: Card, state: SeriesState) -> Forecaster:
    """What the version in `folder` with this `card` and this history learnt."""
    model = _model(card)
    if model == "naive":
        return Naive()
    if model == "theta":
        return Theta.read(folder, state)
    if model == "ets":
        return Ets.read(folder)
    if model == "foundation":
        return Foundation.read(folder, card)
    if model == "lags":
        return Lags.read(folder)
    raise CorruptArtifact("engines.bad_card", folder=folder, reason=f"model {model}")


def _model(card: Card) -> str:
    return str(card.extra.get("model", "naive"))


def covariates(features: TableFeatures | None, items: Sequence[Item]) -> np.ndarray:
    """What is known beside the values, as numbers (rows, columns): categories as codes, NaN where a
    value is missing."""
    if features is None:
        return np.zeros((len(items), 0))
    return features.dense(items)


def load(folder: Path, card: Card, *, streams: int | None, threads: int | None) -> ForecastEngine:
    """Opens a `forecasts` version. It takes no streams; `threads` hold for a network, and for all
    that torch computes in this process."""
    if _model(card) in _COSTLY:
        set_threads(folder, card, threads)
    return ForecastEngine(folder, card)


def write_series(folder: Path, state: SeriesState, beside: TableFeatures | None) -> None:
    """Keeps the history, and how covariates become numbers."""
    from safetensors.numpy import save_file

    save_file(state.arrays(), folder / _ARRAYS)
    head = state.head()
    if beside is not None:
        head["covariates"] = {
            "columns": [list(one) for one in beside.columns],
            "state": dict(beside.state),
        }
    text = json.dumps(head, ensure_ascii=False, indent=1, sort_keys=True)
    (folder / _HEAD).write_text(text + "\n", "utf-8")


def _read(folder: Path, card: Card) -> tuple[SeriesState, TableFeatures | None]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        head = json.loads((folder / _HEAD).read_text("utf-8"))
        state = SeriesState.read(head, load_file(folder / _ARRAYS))
        kept = head.get("covariates")
        if kept is None:
            return state, None
        columns = [(str(name), str(kind)) for name, kind in kept["columns"]]
        return state, TableFeatures(columns, kept["state"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CorruptArtifact("engines.bad_weights", file=folder, reason=repr(error)) from None

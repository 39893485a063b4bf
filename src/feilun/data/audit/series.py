"""What spoils forecasts: steps without a value, rows on one step, series that never change, that
are too short, or that stand on another level from some day on."""

from __future__ import annotations

import numpy as np

from feilun.data.audit.finding import EXAMPLES, Draft, Finding, Severity
from feilun.data.outcome import Notice
from feilun.errors import InvalidData
from feilun.families.forecasts import time_text
from feilun.modalities.series.state import Built, SeriesState, build_series
from feilun.modalities.series.task import TIME
from feilun.store.dataset import Dataset
from feilun.tasks import base as tasks

__all__ = ["series"]

_GAPS_WARN = 0.05
_LEAST = 8
_SHOWN = 10
_WIDE = 10
"""Steps before and after a day, at least, whose medians tell the level there."""
_FAR, _SPREADS = 3.0, 6.0
"""A shift is as many scales of its series, and as many spreads of all such differences in it."""


def series(data: Dataset, basis: Notice) -> list[Draft]:
    """From one pass over the labelled rows of `data`, put on their grid as training does it."""
    task = tasks.of(data.schema)
    names: list[str] = []
    times: list[float] = []
    values: list[float] = []
    places: list[int] = []
    for place, example in enumerate(data.examples()):
        found = task.ordered(example.item)
        if found is not None and example.label:
            names.append(found[0])
            times.append(found[1])
            values.append(float(example.label))
            places.append(place)
    if not names:
        return []
    settings = data.schema.settings
    dated = dict(settings["inputs"])[TIME] == "date"
    try:
        built = build_series(
            names,
            np.array(times),
            np.array(values),
            np.ones(len(names), bool),
            dated=dated,
            frequency=settings.get("frequency"),
            season=settings.get("season"),
        )
    except InvalidData as error:
        mixed = error.code == "forecasts.mixed_frequencies"
        code, params = ("mixed_frequencies", error.params) if mixed else ("no_series", {})
        return [Draft(Finding(code, "bad", len(names), len(names), basis, params=params))]
    first = np.full(len(built.state.values), -1)
    first[built.places[::-1]] = places[::-1]
    return [
        *_gaps(built, basis),
        *_doubled(built, np.array(places), basis),
        *_constant(built.state, first, basis),
        *_short(built.state, first, basis),
        *_shifts(built.state, first, dated, basis),
    ]


def _gaps(built: Built, basis: Notice) -> list[Draft]:
    if not built.gaps:
        return []
    total = len(built.state.values)
    severity: Severity = "warn" if built.gaps > _GAPS_WARN * total else "info"
    return [Draft(Finding("gaps", severity, built.gaps, total, basis))]


def _doubled(built: Built, places: np.ndarray, basis: Notice) -> list[Draft]:
    if not built.doubled:
        return []
    _, member, count = np.unique(built.places, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(count[member] > 1)[:EXAMPLES]
    finding = Finding("doubled_times", "warn", built.doubled, len(built.places), basis)
    return [Draft(finding, [(int(places[row]),) for row in rows])]


def _constant(state: SeriesState, first: np.ndarray, basis: Notice) -> list[Draft]:
    parts = [state.values[a:b] for a, b in zip(state.begins, state.begins[1:], strict=False)]
    still = [n for n, part in enumerate(parts) if len(part) >= _LEAST and np.ptp(part) == 0]
    return _named("constant_series", "info", still, state, first, basis)


def _short(state: SeriesState, first: np.ndarray, basis: Notice) -> list[Draft]:
    short = np.flatnonzero(state.lengths < _LEAST).tolist()
    severity: Severity = "warn" if 2 * len(short) > len(state.names) else "info"
    return _named("short_series", severity, short, state, first, basis)


def _named(
    code: str,
    severity: Severity,
    found: list[int],
    state: SeriesState,
    first: np.ndarray,
    basis: Notice,
) -> list[Draft]:
    if not found:
        return []
    params = {"series": [state.names[one][:40] or "-" for one in found[:_SHOWN]]}
    finding = Finding(code, severity, len(found), len(state.names), basis, params)
    rows = [(int(first[state.begins[one]]),) for one in found[:EXAMPLES]]
    return [Draft(finding, rows)]


def _shifts(state: SeriesState, first: np.ndarray, dated: bool, basis: Notice) -> list[Draft]:
    shifted: list[tuple[int, int]] = []
    for one, (begin, end) in enumerate(zip(state.begins, state.begins[1:], strict=False)):
        step = shift(state.values[begin:end], state.season, float(state.scales[one]))
        if step is not None:
            shifted.append((one, step))
    if not shifted:
        return []
    said = []
    for one, step in shifted[:_SHOWN]:
        when = float(state.times(np.array([one]), np.array([step]))[0])
        said.append(f"{state.names[one][:40]} {time_text(when, dated)}".strip())
    finding = Finding(
        "level_shifts", "info", len(shifted), len(state.names), basis, {"series": said}
    )
    rows = [(int(first[state.begins[one] + step]),) for one, step in shifted[:EXAMPLES]]
    return [Draft(finding, [row for row in rows if row[0] >= 0])]


def shift(values: np.ndarray, season: int, scale: float) -> int | None:
    """The step from which on a series stands on another level and stays there; None without one.
    Medians over whole seasons before and after each step are compared, so that a season or a steady
    trend is no shift."""
    wide = season * -(-_WIDE // season)
    if len(values) < 4 * wide:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(values, wide)
    medians = np.median(windows, axis=1)
    change = medians[wide:] - medians[:-wide]
    usual = float(np.median(change))
    spread = float(np.median(np.abs(change - usual)))
    far = np.abs(change - usual)
    # Around the step medians change alike: its middle is meant.
    place = int(np.median(np.flatnonzero(far >= 0.9 * far.max())))
    if far[place] < max(_FAR * scale, _SPREADS * spread):
        return None
    step = place + wide
    before, after = float(np.median(values[:step])), float(np.median(values[step:]))
    stays = abs(after - before) > far[place] / 2 and (after > before) == (change[place] > usual)
    return step if stays else None

"""Forecasts: the value of a series at a time, and the interval in which it probably will lie.

A row is one value at one time, so that targets, corrections and answers are numbers
(`NumberFamily`). What is other is how they are judged: in units of the naive forecast's error, by
blocks of rows that were answered from one origin, and with intervals that widen with the lead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from markupsafe import Markup

from feilun.config import EvaluationConfig, ProjectConfig
from feilun.families.base import Answers, AnswerTensor, Contrast, Decoder, Difference
from feilun.families.numbers import NumberFamily, NumberSheet, plain
from feilun.messages import Language, t
from feilun.metrics.forecasts import Forecasts
from feilun.render.bilingual import say, spoken
from feilun.render.page import template
from feilun.render.reason import Reason
from feilun.render.svg import band_plot
from feilun.render.wording import fill
from feilun.types import Output, Schema

__all__ = ["BLOCK", "BLOCKS", "FORECASTS", "LEAD", "SCALE", "SPREAD", "TIME", "VALUE", "WIDTH",
           "Details", "ForecastFamily", "time_text"]  # fmt: skip

VALUE, SCALE, LEAD, BLOCK, TIME, SPREAD = range(6)
"""Columns of raw outputs (rows, 6), float64: the forecast (NaN for a series that the version does
not know), the naive forecast's mean error in the row's series, how many steps after the origin the
row lies, the number of its block (series and origin), its time, and the unit of its interval: the
scale times how much the version errs of late in this series."""
WIDTH = 6
BLOCKS = 1 << 20
"""Blocks of one series: its number times this, plus that of the origin, is a block's number."""

_LEAST = 10
"""Validation rows below which no interval is stated: 80 % of nine lie between their ends."""
_GROUP = 20
"""Validation rows that leads with one interval must have together, where there are as many."""
_BUCKETS = 8
_DRAWN = 240
"""Values of one series that the report draws at most."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Details:
    """`chart` are (true, predicted, low, high) of one series' newest rows in the order of time, and
    `times` when the first and the last of them were. `leads` are (from, to, rows, error in units of
    the naive one, share inside the interval) for leads that were calibrated together. `blocks` is
    the number of series and origins, `interval` the share that intervals were made to hold."""

    chart: tuple[tuple[float, ...], ...]
    times: tuple[str, ...]
    leads: tuple[tuple[float, ...], ...]
    blocks: int
    interval: float | None = None


class ForecastSheet(NumberSheet):
    """See `Sheet`."""

    measured: Forecasts  # type: ignore[assignment]
    others: Mapping[str, Forecasts]  # type: ignore[assignment]

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._candidate = candidate
        self._truth = np.asarray(truth, np.float64)
        self.measured = _measured(self._truth, candidate, candidate)
        # What another version cannot answer (a series that it does not know) counts as answered
        # alike, and is left out where versions are compared (`comparable`).
        self._unknown = {role: np.isnan(one.raw[:, VALUE]) for role, one in references.items()}
        self.others = {
            role: _measured(self._truth, other, candidate) for role, other in references.items()
        }

    def comparable(self, role: str) -> tuple[tuple[str, ...], np.ndarray]:
        """The rows of series that both know."""
        known = ~self._unknown[role]
        return (), known if known.any() else np.ones(len(known), dtype=bool)

    def _inside(self) -> np.ndarray | None:
        return self.measured.inside

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`."""
        raw, point = self._candidate.raw, self._candidate.point
        low, high = _interval(raw, point)
        # The series with the most values under test: its blocks follow each other in time.
        rows = _longest(raw)
        columns = [self._truth, raw[:, VALUE]]
        if low is not None and high is not None:
            columns += [low, high]
        drawn = np.stack(columns, axis=1)[rows]
        dated = _date_like(raw[rows, TIME])
        ends = [time_text(float(raw[row, TIME]), dated) for row in (rows[0], rows[-1])]
        return {
            "chart": tuple(tuple(round(v, 6) for v in row) for row in drawn.tolist()),
            "times": tuple(ends),
            "leads": tuple(_by_lead(self.measured, raw[:, LEAD], point)),
            "blocks": len(np.unique(raw[:, BLOCK])),
            "interval": point.get("interval"),
        }


class ForecastFamily(NumberFamily):
    """A value of a series. Targets are numbers as `plain` writes them; raw outputs are described at
    `WIDTH`; an answer is ``{"time": ..., "value": float}``, with ``low`` and ``high`` where the
    model was calibrated."""

    name = "forecasts"
    metrics: ClassVar = Forecasts.higher_is_better
    primary = "mase"
    Details = Details  # type: ignore[assignment]

    def tally(self) -> None:
        """None: what is far from other series may be usual in its own."""

    def uncascaded(self) -> str | None:
        """Nothing says how sure a whole forecast is."""
        return t("compression.not_sure", family=self.name)

    def untaught(self) -> str | None:
        """No network learns forecasts here."""
        return t("training.not_soft", family=self.name)

    def unaveraged(self) -> str | None:
        """What a step's interval is made of has no mean."""
        return t("training.no_mean", family=self.name)

    def width(self, labels: Sequence[str]) -> int:
        """See `WIDTH`."""
        return WIDTH

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """Three series from two origins each."""
        draw = np.random.default_rng(seed)
        raw = np.zeros((rows, WIDTH))
        raw[:, VALUE] = draw.normal(size=rows)
        raw[:, SCALE] = draw.uniform(0.5, 2, size=rows)
        raw[:, SPREAD] = raw[:, SCALE] * draw.uniform(0.5, 2, size=rows)
        raw[:, LEAD] = 1 + np.arange(rows) % 5
        raw[:, BLOCK] = np.arange(rows) % 6
        raw[:, TIME] = 1.7e9 + 3600 * np.arange(rows)
        return raw

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """With the interval of the operating point for the lead, where it has one."""
        kinds = dict(schema.settings.get("inputs") or ())
        dated = kinds.get("time", "date") == "date"

        def decode(raw: np.ndarray, all_scores: bool = False) -> list[Output]:
            raw = np.asarray(raw, np.float64).reshape(-1, WIDTH)
            low, high = _interval(raw, point)
            found: list[Output] = [
                {"time": time_text(time, dated), "value": value}
                for time, value in zip(raw[:, TIME].tolist(), raw[:, VALUE].tolist(), strict=True)
            ]
            if low is not None and high is not None:
                for one, below, above in zip(found, low.tolist(), high.tolist(), strict=True):
                    one["low"], one["high"] = below, above
            return found

        return decode

    def tensors(self, schema: Schema, point: Mapping[str, Any]) -> Sequence[AnswerTensor]:
        """``time`` as text beside ``value``, ``low`` and ``high``."""
        numbers = super().tensors(schema, point)

        def times(outputs: Sequence[Output]) -> list[str]:
            return [one["time"] for one in outputs]

        time = AnswerTensor("time", "BYTES", (-1,), times)
        return [time, *numbers]

    def differ(self, left: Output, right: Output) -> Difference:
        """As numbers differ, where both are about the same time."""
        found = super().differ(left, right)
        return found if left["time"] == right["time"] else Difference(False, 1.0 + found.size)

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """What a forecast is made of are values of the past, which are no part of the input."""
        return None

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        number = {"type": "number"}
        return {
            "type": "object",
            "properties": {
                "time": {"type": "string"},
                "value": number,
                "low": number,
                "high": number,
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["time", "value"],
        }

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """How far true values lie below and above forecast ones, in units of `SPREAD`, for leads
        from short to long: of each group of leads the errors on the validation rows say it, so
        that ``[serving] interval`` of the values lie between. Their mean counts as far as it can be
        told from chance: what the validation rows happened to lie above the forecast moves no
        interval."""
        known = np.isfinite(raw[:, VALUE])
        raw, truth = raw[known], np.asarray(truth, np.float64)[known]
        if len(truth) < _LEAST:
            return {}, []
        share = config.serving.interval
        error = (truth - raw[:, VALUE]) / raw[:, SPREAD]
        bounds, below, above = [], [], []
        for lead, rows in _groups(raw[:, LEAD]):
            # One row more than there is, as conformal prediction wants it for rows not seen; rows
            # after one origin are not as many as they look.
            count = _independent(error[rows], raw[rows, BLOCK])
            tail = max(0.0, ((count + 1) * (1 - share) / 2 - 1) / (count - 1))
            shifted = error[rows] - _chance(error[rows], count)
            low, high = np.quantile(shifted, (tail, 1 - tail))
            bounds.append(lead)
            below.append(max(0.0, -float(low)))
            above.append(max(0.0, float(high)))
        return {"leads": bounds, "below": below, "above": above, "interval": share}, []

    def measured(  # type: ignore[override]
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Forecasts:
        """See `Forecasts`."""
        answers = Answers("", "", labels, raw, point)
        return _measured(np.asarray(truth, np.float64), answers, answers)

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Forecasts:  # type: ignore[override]
        """Without the errors in units of a naive forecast, which an answer does not tell."""
        truth = np.array([float(one) for one in targets])
        predicted = np.array([float(one["value"]) for one in outputs])
        if not all("low" in one for one in outputs):
            return Forecasts(truth, predicted)
        low, high = (np.array([float(one[end]) for one in outputs]) for end in ("low", "high"))
        return Forecasts(truth, predicted, None, low, high)

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> ForecastSheet:
        """See `ForecastSheet`."""
        return ForecastSheet(candidate, references, truth)

    def reasons(self, evaluation: Any) -> Sequence[Reason]:
        """Repeating the last season costs nothing and errs by about 1."""
        return ()

    def sections(self, evaluation: Any) -> Markup:
        """The newest values of one series beside their forecasts, and errors by lead."""
        details = evaluation.details
        drawing = band_plot(
            [row[:2] for row in details.chart],
            [row[2:] for row in details.chart],
            ends=details.times,
            names={"true": spoken("forecasts.line_true"), "predicted": spoken("forecasts.line")},
        )
        page = template("forecasts.html", "feilun.families")
        coverage = evaluation.metrics.get("coverage")
        return Markup(
            page.render(
                say=say,
                drawing=drawing,
                shown=len(details.chart),
                rows=evaluation.rows,
                blocks=details.blocks,
                leads=details.leads,
                interval=None if details.interval is None else f"{100 * details.interval:g}%",
                coverage=coverage,
            )
        )

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """How far off forecasts are beside repeating the last season, and what intervals hold."""
        said = []
        mase = evaluation.metrics.get("mase")
        if mase is not None:
            said.append(fill("forecasts.off_in_scale", {"mase": f"{mase.value:.2f}"}, lang))
        coverage, wanted = evaluation.metrics.get("coverage"), evaluation.details.interval
        if coverage is not None and wanted is not None:
            held = coverage.low <= wanted <= coverage.high
            code = "numbers.intervals_hold" if held else "numbers.intervals_off"
            figures = {"part": float(coverage.value), "wanted": f"{100 * wanted:g}%"}
            said.append(fill(code, figures, lang))
        return said


def time_text(time: float, dated: bool) -> str:
    """A time as rows and answers write it: ``2026-03-01``, ``2026-03-01T12:30:00``, or the number
    where rows are counted."""
    if not dated:
        return plain(float(f"{time:.9g}"))
    try:
        when = _EPOCH + timedelta(seconds=round(time))
    except OverflowError:
        return plain(time)
    if when.hour == when.minute == when.second == 0:
        return when.strftime("%Y-%m-%d")
    return when.strftime("%Y-%m-%dT%H:%M:%S")


def _date_like(times: np.ndarray) -> bool:
    return bool(len(times)) and float(np.abs(times).max()) >= 1e7


def _groups(leads: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Groups of leads with enough rows each: the longest of each, and its rows."""
    order = np.argsort(leads, kind="stable")
    least = max(_GROUP, -(-len(order) // _BUCKETS))
    found: list[tuple[float, np.ndarray]] = []
    begin = 0
    while begin < len(order):
        end = min(begin + least, len(order))
        end = int(np.searchsorted(leads[order], leads[order[end - 1]], side="right"))
        if len(order) - end < least:  # too few would be left
            end = len(order)
        found.append((float(leads[order[end - 1]]), order[begin:end]))
        begin = end
    return found


def _independent(errors: np.ndarray, blocks: np.ndarray) -> float:
    """How many independent rows say as much as these, whose errors go together within blocks: by
    the design effect with the intraclass correlation (Kish, 1965, "Survey Sampling")."""
    _, member, size = np.unique(blocks, return_inverse=True, return_counts=True)
    rows, groups = len(errors), len(size)
    if groups < 2 or rows == groups:
        return float(max(rows, 2))
    means = np.bincount(member, weights=errors) / size
    between = float((size * (means - errors.mean()) ** 2).sum()) / (groups - 1)
    within = float(((errors - means[member]) ** 2).sum()) / (rows - groups)
    usual = (rows - float((size**2).sum()) / rows) / (groups - 1)
    total = between + (usual - 1) * within
    alike = max(0.0, (between - within) / total) if total > 0 else 0.0
    return max(2.0, rows / (1 + (rows / groups - 1) * alike))


def _chance(errors: np.ndarray, count: float) -> float:
    """The part of the mean of `errors` that is chance, if they are worth `count` independent ones:
    the rest is the positive-part estimator of James and Stein (1961)."""
    mean, variance = float(errors.mean()), float(errors.var()) / count
    return mean * min(1.0, variance / mean**2) if mean else 0.0


def _bucket(leads: np.ndarray, point: Mapping[str, Any]) -> np.ndarray:
    bounds = np.asarray(point["leads"], np.float64)
    return np.minimum(np.searchsorted(bounds, leads), len(bounds) - 1)


def _interval(
    raw: np.ndarray, point: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    if "leads" not in point:
        return None, None
    place = _bucket(raw[:, LEAD], point)
    below, above = (np.asarray(point[end], np.float64)[place] for end in ("below", "above"))
    return raw[:, VALUE] - below * raw[:, SPREAD], raw[:, VALUE] + above * raw[:, SPREAD]


def _measured(truth: np.ndarray, answers: Answers, candidate: Answers) -> Forecasts:
    """One version's answers, in the units and blocks of the `candidate`."""
    raw = np.asarray(answers.raw, np.float64)
    mine = np.asarray(candidate.raw, np.float64)
    unknown = np.isnan(raw[:, VALUE])
    if unknown.any():
        raw = raw.copy()
        raw[unknown] = mine[unknown]
    low, high = _interval(raw, answers.point)
    share = float(answers.point.get("interval", 0.8))
    blocks = mine[:, BLOCK].astype(np.int64)
    return Forecasts(truth, raw[:, VALUE], mine[:, SCALE], low, high, share, blocks)


def _longest(raw: np.ndarray) -> np.ndarray:
    """Rows of the series with the most values, in the order of time, the newest."""
    series = np.floor_divide(raw[:, BLOCK].astype(np.int64), BLOCKS)
    names, counts = np.unique(series, return_counts=True)
    rows = np.flatnonzero(series == names[int(np.argmax(counts))])
    return np.asarray(rows[np.argsort(raw[rows, TIME], kind="stable")][-_DRAWN:])


def _by_lead(
    measured: Forecasts, leads: np.ndarray, point: Mapping[str, Any]
) -> Sequence[tuple[float, ...]]:
    bounds = point.get("leads") or [float(leads.max())]
    place = _bucket(leads, {"leads": bounds})
    found = []
    first = 1.0
    for number, last in enumerate(bounds):
        rows = place == number
        if rows.any():
            one = measured.take(rows).replicates(np.ones((1, int(rows.sum()))))
            figures = (float(one["mase"][0]), float(one["coverage"][0]))
            found.append((first, float(last), float(rows.sum()), *(f for f in figures if f == f)))
        first = float(last) + 1
    return found


FORECASTS = ForecastFamily()

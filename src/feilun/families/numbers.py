"""Numbers: one a row, and the interval in which the true one probably lies.

The interval comes from the errors on the validation rows (split conformal prediction; Lei and
others, 2018, "Distribution-Free Predictive Inference for Regression"): whatever the model, about
the wanted share of true numbers lies inside, as long as new rows are like those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from markupsafe import Markup

from feilun import numerals
from feilun.config import EvaluationConfig, ProjectConfig
from feilun.errors import InvalidData
from feilun.families._number_tally import NumberTally
from feilun.families.base import (
    Answers,
    AnswerTensor,
    Contrast,
    Decoder,
    Difference,
    Disagreement,
    Error,
    Family,
    Sheet,
)
from feilun.families.objective import Objective
from feilun.messages import Language, t
from feilun.metrics.numbers import Numbers
from feilun.render.bilingual import say, spoken
from feilun.render.page import template
from feilun.render.reason import Reason
from feilun.render.svg import scatter
from feilun.render.wording import fill
from feilun.types import Encoded, Output, Schema

if TYPE_CHECKING:
    import torch

__all__ = ["NUMBERS", "Details", "NumberFamily", "plain"]

_LEAST = 20
"""Validation rows below which no interval is stated."""
_POINTS = 400
"""Rows that the report draws."""
_SAME = 1e-6
_ALIKE = 0.01
"""Part of the spread of all answers by which two variants may differ and still say the same."""
_NOTHING = frozenset({"", "-", "–", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True, slots=True)
class Details:
    """`points` are (true, predicted) of some rows, evenly drawn. `interval` is the share of true
    numbers that the stated intervals were made to hold, None without intervals; `spread` is the
    standard deviation of the true numbers."""

    points: tuple[tuple[float, float], ...]
    spread: float
    interval: float | None = None


class NumberSheet(Sheet):
    """See `Sheet`."""

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._candidate = candidate
        self._truth = np.asarray(truth, np.float64)
        self.measured: Numbers = _measured(self._truth, candidate)
        self.others: Mapping[str, Numbers] = {
            role: _measured(self._truth, other) for role, other in references.items()
        }

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        spread = float(np.ptp(self._truth)) or 1.0
        other = self.others[role]
        return bool(np.allclose(self.measured.predicted, other.predicted, atol=_SAME * spread))

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows whose number the candidate is nearer to, and the other way round."""
        mine = np.abs(self.measured.predicted - self._truth)
        theirs = np.abs(self.others[role].predicted - self._truth)
        return mine < theirs, theirs < mine

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [plain(value) for value in self._truth.tolist()]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """See `Sheet`."""
        was, now = self.others["live"].predicted[row], self.measured.predicted[row]
        return plain(float(self._truth[row])), _short(float(was)), _short(float(now))

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """How many true numbers lie outside the stated interval (without intervals: how many are
        missed at all), and the rows that are farthest off."""
        error = np.abs(self.measured.predicted - self._truth)
        inside = self._inside()
        missed = int((error > 0).sum() if inside is None else (~inside).sum())
        worst = np.argsort(-error, kind="stable")[: min(most, missed)]
        found = []
        for row in worst.tolist():
            truth, answer = float(self._truth[row]), float(self.measured.predicted[row])
            found.append(Error(row, plain(truth), _short(answer), answer, truth))
        return missed, found

    def _inside(self) -> np.ndarray | None:
        """Which stated intervals hold their true number; None without intervals."""
        return self.measured.hits("coverage")

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`."""
        count = len(self._truth)
        places = np.linspace(0, count - 1, min(count, _POINTS)).round().astype(int)
        pairs = zip(
            self._truth[places].tolist(), self.measured.predicted[places].tolist(), strict=True
        )
        return {
            "points": tuple((round(x, 6), round(y, 6)) for x, y in pairs),
            "spread": float(self._truth.std()),
            "interval": self._candidate.point.get("interval"),
        }


class Huber(Objective):
    """The Huber loss (1964): squared for errors up to one standard deviation of the true numbers,
    linear beyond, so that no row pulls without bound. A network learns numbers with mean 0 and
    deviation 1."""

    def __init__(self, truth: np.ndarray) -> None:
        self._mean, self._spread = float(truth.mean()), float(truth.std()) or 1.0
        self.scale = (self._mean, self._spread)

    def targets(self, truth: Sequence[Any], batch: Sequence[Encoded]) -> np.ndarray:
        """float32 (rows,)."""
        learnt = (np.asarray(truth, np.float64) - self._mean) / self._spread
        return learnt.astype(np.float32)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        import torch

        return torch.nn.functional.huber_loss(outputs[:, 0], targets, reduction="sum")

    def divergence(
        self, one: torch.Tensor, other: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Half the squared difference, in deviations."""
        return ((one - other) ** 2).sum() / 2

    def validated(self, outputs: np.ndarray, targets: np.ndarray) -> tuple[Numbers, float]:
        """With the mean squared error, in standard deviations."""
        answers = outputs[:, 0]
        measured = Numbers(targets * self._spread + self._mean, answers * self._spread + self._mean)
        return measured, float(((answers - targets) ** 2).mean())


class NumberFamily(Family):
    """A number. Targets are numbers as `plain` writes them; raw outputs are the predicted numbers
    (rows, 1); an answer is ``{"value": float}``, with ``low`` and ``high`` where the model was
    calibrated."""

    name = "numbers"
    metrics: ClassVar = Numbers.higher_is_better
    primary = "r2"
    numeric = True
    stratum_words: ClassVar = {"numbers": "strata.numbers"}
    differentiable = True
    problem_type = "regression"
    Details = Details
    sentences: ClassVar = {
        "evaluation.tile_missed": "numbers.tile_missed",
        "evaluation.report_metrics_lead": "numbers.report_metrics_lead",
        "evaluation.compared_flips": "numbers.compared_nearer",
        "evaluation.report_misses": "numbers.report_misses",
        "evaluation.report_misses_lead": "numbers.report_misses_lead",
    }

    def target(self, value: Any) -> str | None:
        """The number in a cell, as `numerals.parse` reads it. Raises `InvalidData` for what is no
        finite number."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidData("numbers.not_a_number", given=_named(value))
        if isinstance(value, str):
            if value.strip().casefold() in _NOTHING:
                return None
            try:
                value = numerals.parse(value)
            except ValueError:
                raise InvalidData("numbers.not_a_number", given=_named(value)) from None
        if not math.isfinite(value):
            raise InvalidData("numbers.not_a_number", given=_named(value))
        return plain(float(value))

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """None: any number may be answered."""
        return ()

    def stratum(self, target: str) -> str:
        """One for all."""
        return "numbers"

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """float64, NaN for none."""
        return np.array([math.nan if one is None else float(one) for one in targets], np.float64)

    def known(self, truth: np.ndarray) -> np.ndarray:
        """See `Family`."""
        return np.asarray(np.isfinite(truth), dtype=bool)

    def tally(self) -> NumberTally | None:
        """See `NumberTally`."""
        return NumberTally()

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The number alone."""
        return ("value",)

    def objective(
        self,
        truth: np.ndarray,
        labels: tuple[str, ...],
        settings: Any,
        own: np.ndarray | None = None,
    ) -> Huber:
        """See `Huber`."""
        return Huber(np.asarray(truth, np.float64))

    def width(self, labels: Sequence[str]) -> int:
        """The number alone."""
        return 1

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """With the interval of the operating point, where it has one."""
        below, above = point.get("below"), point.get("above")

        def decode(raw: np.ndarray, all_scores: bool = False) -> list[Output]:
            found = np.asarray(raw, np.float64).reshape(-1, 1)[:, 0].tolist()
            if below is None or above is None:
                return [{"value": value} for value in found]
            return [
                {"value": value, "low": value - below, "high": value + above} for value in found
            ]

        return decode

    def mean(self, raws: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
        """The mean number."""
        stacked = np.stack([np.asarray(raw, np.float64) for raw in raws])
        return np.tensordot(weights, stacked, 1).astype(np.float32)

    def stated(self, outputs: Sequence[Output], schema: Schema) -> np.ndarray:
        """The values."""
        return np.array([[one["value"]] for one in outputs], np.float64).reshape(-1, 1)

    def softened(
        self, raw: np.ndarray, truth: np.ndarray, labels: Sequence[str], share: float
    ) -> np.ndarray:
        """Numbers, float64 (rows,)."""
        stated = np.asarray(raw, np.float64)[:, 0]
        wanted = np.where(np.isfinite(truth), truth, stated)
        return np.where(np.isfinite(truth), share * stated + (1 - share) * wanted, stated)

    def uncascaded(self) -> str | None:
        """The interval of a number is as wide for every row."""
        return t("numbers.same_width")

    def said(self, output: Output) -> str:
        """The value."""
        return plain(float(output["value"]))

    def tensors(self, schema: Schema, point: Mapping[str, Any]) -> Sequence[AnswerTensor]:
        """``value``, and ``low`` and ``high`` where there are intervals."""
        names = ["value", *(["low", "high"] if "below" in point else [])]

        def column(name: str) -> AnswerTensor:
            return AnswerTensor(
                name,
                "FP64",
                (-1,),
                lambda outputs: np.array([one[name] for one in outputs], np.float64),
            )

        return [column(name) for name in names]

    def differ(self, left: Output, right: Output) -> Difference:
        """The difference as a part of the larger number, of 1 at least."""
        one, other = float(left["value"]), float(right["value"])
        size = abs(one - other) / max(1.0, abs(one), abs(other))
        return Difference(size <= _ALIKE, size)

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """What is added to the number."""
        return Contrast("", "", lambda said: float(said["value"]), np.ones(1))

    def output_schema(self) -> dict[str, Any]:
        """See the class."""
        number = {"type": "number"}
        return {
            "type": "object",
            "properties": {
                "value": number,
                "low": number,
                "high": number,
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["value"],
        }

    def target_schema(self) -> dict[str, Any]:
        """A number, or text that is one."""
        return {"type": ["number", "string"]}

    def calibrate(
        self, raw: np.ndarray, truth: np.ndarray, labels: tuple[str, ...], config: ProjectConfig
    ) -> tuple[dict[str, Any], list[str]]:
        """How far the true numbers lie below and above the predicted ones, so that ``[serving]
        interval`` of them lie between."""
        if len(truth) < _LEAST:
            return {}, []
        share = config.serving.interval
        error = np.sort(np.asarray(truth, np.float64) - np.asarray(raw, np.float64)[:, 0])
        tail = (1 - share) / 2
        # One row more than there is, as conformal prediction wants it for rows not seen.
        low = max(math.floor((len(error) + 1) * tail) - 1, 0)
        high = min(math.ceil((len(error) + 1) * (1 - tail)) - 1, len(error) - 1)
        below, above = max(0.0, -float(error[low])), max(0.0, float(error[high]))
        return {"below": below, "above": above, "interval": share}, []

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Numbers:
        """See `Numbers`."""
        return _measured(np.asarray(truth, np.float64), Answers("", "", labels, raw, point))

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Numbers:
        """See `Numbers`."""
        truth = np.array([float(one) for one in targets])
        return Numbers(truth, np.array([float(one["value"]) for one in outputs]))

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> NumberSheet:
        """See `NumberSheet`."""
        return NumberSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows that differ by more than a hundredth of the spread of all answers."""
        one, other = np.asarray(first)[:, 0], np.asarray(second)[:, 0]
        spread = float(np.ptp(one)) or 1.0
        apart = np.abs(one - other) / spread
        return [
            Disagreement(
                row, _short(float(one[row])), _short(float(other[row])), float(min(apart[row], 1))
            )
            for row in np.flatnonzero(apart > _ALIKE).tolist()
        ]

    def reasons(self, evaluation: Any) -> Sequence[Reason]:
        """Always answering the mean costs nothing and has an R² of 0."""
        score = evaluation.metrics.get("r2")
        if score is None or score.value > 0:
            return ()
        figures = {"metric": "r2", "name": evaluation.name, "value": score.value}
        return (Reason("numbers.gate_floor", figures, "against"),)

    def miss_words(self, miss: Any, lang: Language) -> str:
        """How far off."""
        return fill("numbers.off_by", {"off": _short(miss.stated - miss.stated_truth)}, lang)

    def sections(self, evaluation: Any) -> Markup:
        """True numbers against predicted ones, and what the intervals hold."""
        details = evaluation.details
        drawing = scatter(
            details.points,
            across=spoken("numbers.axis_true"),
            up=spoken("numbers.axis_predicted"),
        )
        coverage = evaluation.metrics.get("coverage")
        page = template("numbers.html", "feilun.families")
        return Markup(
            page.render(
                say=say,
                drawing=drawing,
                shown=len(details.points),
                rows=evaluation.rows,
                spread=_short(details.spread),
                mae=_figure(evaluation, "mae"),
                rmse=_figure(evaluation, "rmse"),
                interval=None if details.interval is None else f"{100 * details.interval:g}%",
                coverage=None if coverage is None else coverage,
            )
        )

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """How far off the answers are on the whole, and whether the intervals hold what they
        should."""
        mae, coverage = evaluation.metrics.get("mae"), evaluation.metrics.get("coverage")
        said = []
        if mae is not None:
            said.append(fill("numbers.off_on_average", {"off": _short(mae.value)}, lang))
        wanted = evaluation.details.interval
        if coverage is not None and wanted is not None:
            held = coverage.low <= wanted <= coverage.high
            code = "numbers.intervals_hold" if held else "numbers.intervals_off"
            figures = {"part": float(coverage.value), "wanted": f"{100 * wanted:g}%"}
            said.append(fill(code, figures, lang))
        return said


def plain(value: float) -> str:
    """The shortest text that gives `value` back; whole numbers without a fraction."""
    if value == 0:
        return "0"
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _short(value: float) -> str:
    return f"{value:,.6g}"


def _named(value: Any) -> str:
    return str(value)[:40]


def _figure(evaluation: Any, metric: str) -> str:
    score = evaluation.metrics.get(metric)
    return "–" if score is None else _short(score.value)


def _measured(truth: np.ndarray, answers: Answers) -> Numbers:
    predicted = np.asarray(answers.raw, np.float64).reshape(-1, 1)[:, 0]
    below, above = answers.point.get("below"), answers.point.get("above")
    if below is None or above is None:
        return Numbers(truth, predicted)
    return Numbers(truth, predicted, predicted - below, predicted + above)


NUMBERS = NumberFamily()

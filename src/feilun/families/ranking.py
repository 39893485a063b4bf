"""Rankings: items of a catalogue in the order in which they are likely to be wanted.

A question mostly has several right answers (the articles that a customer bought, the documents that
answer a query) and a row of the data holds one of them. So rows of one input are no duplicates and
do not contradict each other; for judging they are put together (`Ranking.together`), and what is
drawn for intervals is the question, not the row.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
from markupsafe import Markup

from feilun.config import EvaluationConfig
from feilun.errors import InvalidData
from feilun.families._objects import objects
from feilun.families.base import (
    Answers,
    Contrast,
    Decoder,
    Difference,
    Disagreement,
    Error,
    Family,
    Sheet,
)
from feilun.messages import Language
from feilun.metrics.ranking import Ranking as Measures
from feilun.render.bilingual import say, spoken
from feilun.render.page import template
from feilun.render.svg import line_plot
from feilun.render.wording import fill
from feilun.types import Output, Schema

__all__ = ["DEPTH", "DESCRIBES", "RANKING", "Details", "Ranked", "RankingFamily",
           "RankingSheet", "describes", "items_of"]  # fmt: skip

DEPTH = 100
"""Items that an engine ranks for judging, however few a caller is shown."""
SHOWN = 10
"""Items that a caller is shown unless he asks for another number."""
DESCRIBES = '{"columns":'
"""With what a canonical target begins that says what a user or an item is like."""
_CUTS = (1, 5, 10, 20, 50, 100)
_LONGEST = 1_000_000
_EXCERPT = 60
_SAME = 1e-6


class Ranked(NamedTuple):
    """One raw output: `items` with their `scores`, the best first and at most `DEPTH` of them,
    chosen from a catalogue of `total`. `because` has for the first items what each is recommended
    for. `shown` is how many of them the caller gets. `basis` says what the order rests on where
    that is not always the same (``history``, ``popularity``)."""

    items: Sequence[str]
    scores: Sequence[float]
    because: Sequence[Sequence[str]] = ()
    total: int = 0
    shown: int = SHOWN
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Details:
    """`recall` are (k, the candidate's recall among the first k), `before` the same of the live
    version, or where there is none of the baseline. `bases` count the questions by what their
    answers rest on; `right` are the right answers of all questions together, and `catalogue` the
    items that could have been answered."""

    recall: tuple[tuple[int, float], ...]
    before: tuple[tuple[int, float], ...]
    bases: tuple[tuple[str, int], ...]
    right: int
    catalogue: int


class RankingFamily(Family):
    """Items of a catalogue. A target is one item as text, or a JSON list of several that are all
    right; ``[]`` says that none of the catalogue is. ``{"columns": {...}}`` answers nothing: such a
    row says what its user or item is like, and always trains. Raw outputs are an array of `Ranked`.

    An answer is ``{"items": [{"item", "score", "because"}]}``, the best first, and ``basis`` where
    the engine tells it. Metrics are over all items of the catalogue; nDCG, recall and hit rate
    among the first 10, the reciprocal rank among the first 100.
    """

    name = "ranking"
    metrics: ClassVar = Measures.higher_is_better
    primary = "ndcg"
    stratum_words: ClassVar = {"ranking": "strata.ranking", "descriptions": "strata.descriptions"}
    structured = True
    several_right = True
    Details = Details
    sentences: ClassVar = {
        "evaluation.tile_missed": "ranking.tile_missed",
        "evaluation.report_metrics_lead": "ranking.report_metrics_lead",
        "evaluation.compared_flips": "ranking.compared_better",
        "evaluation.report_misses": "ranking.report_misses",
        "evaluation.report_misses_lead": "ranking.report_misses_lead",
    }

    def target(self, value: Any) -> str | None:
        """The item, or the items of a list, of its JSON, or of an answer. Raises `InvalidData` for
        what names no item."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, str) and describes(value):
            return value
        if isinstance(value, Mapping) and isinstance(value.get("columns"), Mapping):
            return json.dumps({"columns": value["columns"]}, ensure_ascii=False, sort_keys=True)
        if isinstance(value, Mapping):
            value = value.get("items", value.get("item", value))
        if isinstance(value, str):
            listed = _listed(value)
            value = value if listed is None else listed
        if isinstance(value, str) and not value.strip():
            return None
        if not isinstance(value, list):
            return _canonical([_item(value)])
        return _canonical([_item(one) for one in value])

    def together(self, targets: Sequence[str]) -> str:
        """All items of all targets, in their order."""
        return _canonical([item for one in targets for item in items_of(one)])

    def names(self, targets: Iterable[str]) -> tuple[str, ...]:
        """None: a catalogue may be long, so that engines keep it."""
        return ()

    def stratum(self, target: str) -> str:
        """One for all that ask, one for what describes."""
        return "descriptions" if describes(target) else "ranking"

    def asks(self, target: str) -> bool:
        """All but descriptions."""
        return not describes(target)

    def truth(self, targets: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
        """Tuples of items; None for an unlabelled row."""
        return objects([None if one is None else items_of(one) for one in targets])

    def known(self, truth: np.ndarray) -> np.ndarray:
        """Rows with a right answer: where none of the catalogue is, no order is the right one."""
        return np.array([bool(one) for one in truth], dtype=bool)

    def width(self, labels: Sequence[str]) -> int:
        """No numbers: raw outputs are objects."""
        return 0

    def example_raw(self, rows: int, labels: Sequence[str], seed: int) -> np.ndarray:
        """See `Family`."""
        lots = np.random.default_rng(seed)
        found = []
        for _ in range(rows):
            count = int(lots.integers(1, 15))
            items = [f"item {number}" for number in lots.permutation(20)[:count].tolist()]
            scores = np.sort(lots.random(count))[::-1].tolist()
            found.append(Ranked(items, scores, [["item 0"]], 20, basis="history"))
        return objects(found)

    def decoder(self, schema: Schema, point: Mapping[str, Any]) -> Decoder:
        """The items to show. A score says how items stand to each other, and no probability."""

        def decode(raw: np.ndarray, everything: bool) -> list[Output]:
            return [_answer(row) for row in raw]

        return decode

    def said(self, output: Output) -> str:
        """The first item; an empty list where there is none."""
        return _canonical([one["item"] for one in output["items"][:1]])

    def public(self, output: Output, everything: bool) -> Output:
        """Scores to six digits."""
        rounded = [{**one, "score": round(one["score"], 6)} for one in output["items"]]
        return {**output, "items": rounded}

    def bare(self, output: Output) -> Output:
        """The first ten items: more are there only on request."""
        return {**output, "items": output["items"][:SHOWN]}

    def differ(self, left: Output, right: Output) -> Difference:
        """The largest difference of an item's score, as a part of the best; 1 where the items or
        their order differ by more than a tie."""
        first, second = left["items"], right["items"]
        if len(first) != len(second):
            return Difference(False, 1.0)
        top = max((abs(one["score"]) for one in [*first, *second]), default=0.0) or 1.0
        size = max(
            (abs(a["score"] - b["score"]) / top for a, b in zip(first, second, strict=True)),
            default=0.0,
        )
        same = [one["item"] for one in first] == [one["item"] for one in second]
        return Difference(same, min(size, 1.0)) if same else Difference(False, 1.0)

    def contrast(
        self,
        schema: Schema,
        point: Mapping[str, Any],
        output: Output,
        answer: str | None = None,
        other: str | None = None,
    ) -> Contrast | None:
        """The score of the first item; of one that is not answered any more it is at most that of
        the last."""
        if not output["items"]:
            return None
        first = output["items"][0]["item"]

        def score(answered: Output) -> float:
            scores = {one["item"]: float(one["score"]) for one in answered["items"]}
            return scores.get(first, min(scores.values(), default=0.0))

        return Contrast(first[:_EXCERPT], "", score, np.zeros(0))

    def output_schema(self) -> dict[str, Any]:
        """The items in their order."""
        item = {
            "type": "object",
            "properties": {
                "item": {"type": "string"},
                "score": {"type": "number"},
                "because": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["item", "score"],
        }
        return {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": item},
                "basis": {"type": "string"},
                "explanation": {"type": ["object", "null"]},
            },
            "required": ["items"],
        }

    def target_schema(self) -> dict[str, Any]:
        """The item that was right, or a list of several."""
        return {"type": ["string", "number", "array"]}

    def measured(
        self, truth: np.ndarray, raw: np.ndarray, labels: tuple[str, ...], point: Mapping[str, Any]
    ) -> Measures:
        """See `metrics.ranking`."""
        return _measured(list(truth), raw)

    def judged(self, targets: Sequence[str], outputs: Sequence[Output]) -> Measures:
        """See `metrics.ranking`; a row without a right item counts as one that was not found."""
        right = [items_of(one) or ("",) for one in targets]
        return Measures(right, [[each["item"] for each in one["items"]] for one in outputs])

    def sheet(
        self,
        candidate: Answers,
        references: Mapping[str, Answers],
        truth: np.ndarray,
        labels: tuple[str, ...],
    ) -> RankingSheet:
        """See `RankingSheet`."""
        return RankingSheet(candidate, references, truth)

    def disagreements(
        self, first: np.ndarray, second: np.ndarray, labels: tuple[str, ...]
    ) -> Sequence[Disagreement]:
        """Rows of which other items, or in another order, would be shown."""
        return [
            Disagreement(row, _words(one.items[:3]), _words(other.items[:3]), 0.0)
            for row, (one, other) in enumerate(zip(first, second, strict=True))
            if list(one.items[: one.shown]) != list(other.items[: other.shown])
        ]

    def miss_words(self, miss: Any, lang: Language) -> str:
        """At which place the first right item stands."""
        if not miss.stated:
            return fill("ranking.not_found", {"depth": DEPTH}, lang)
        return fill("ranking.found_at", {"place": int(miss.stated)}, lang)

    def sections(self, evaluation: Any) -> Markup:
        """How many right items are found among the first k, and what answers rest on."""
        details = evaluation.details
        lines = {"before": details.before, "after": details.recall}
        scale = math.log(_CUTS[-1])
        drawing = line_plot(
            {
                kind: [(math.log(k) / scale, share, 0.0) for k, share in points]
                for kind, points in lines.items()
                if points
            },
            across=spoken("ranking.axis_items"),
            up=spoken("ranking.axis_recall"),
            marks=[(math.log(k) / scale, str(k)) for k in _CUTS],
        )
        page = template("ranking.html", "feilun.families")
        return Markup(
            page.render(
                say=say,
                drawing=drawing,
                rows=evaluation.rows,
                right=details.right,
                catalogue=details.catalogue,
                before=bool(details.before),
                bases=[
                    {"name": f"ranking.basis_{name}", "count": count}
                    for name, count in details.bases
                ],
            )
        )

    def weakness(self, evaluation: Any, lang: Language) -> Sequence[str]:
        """How many questions nothing was known of."""
        total = sum(count for _, count in evaluation.details.bases)
        cold = dict(evaluation.details.bases).get("popularity", 0)
        if not cold or cold == total:
            return ()
        return (fill("ranking.unknown_askers", {"cold": cold, "rows": total}, lang),)


class RankingSheet(Sheet):
    """All versions' rankings beside the right items."""

    measured: Measures
    others: Mapping[str, Measures]

    def __init__(
        self, candidate: Answers, references: Mapping[str, Answers], truth: np.ndarray
    ) -> None:
        self._truth: list[tuple[str, ...]] = list(truth)
        self._answers = {"": candidate, **references}
        self.measured = _measured(self._truth, candidate.raw)
        self.others = {role: _measured(self._truth, one.raw) for role, one in references.items()}

    def same(self, role: str) -> bool:
        """See `Sheet`."""
        pairs = zip(self._answers[""].raw, self._answers[role].raw, strict=True)
        return all(
            list(one.items) == list(other.items)
            and np.allclose(one.scores, other.scores, rtol=_SAME, atol=_SAME)
            for one, other in pairs
        )

    def better(self, role: str) -> tuple[np.ndarray, np.ndarray]:
        """By the nDCG of each question."""
        mine, theirs = self.measured.gains, self.others[role].gains
        return mine > theirs, theirs > mine

    def targets(self) -> list[str]:
        """See `Sheet`."""
        return [_canonical(row) for row in self._truth]

    def spoken(self, row: int) -> tuple[str, str, str]:
        """The first three items of each."""
        live, own = self._answers["live"].raw[row], self._answers[""].raw[row]
        return _words(self._truth[row][:3]), _words(live.items[:3]), _words(own.items[:3])

    def errors(self, most: int) -> tuple[int, Sequence[Error]]:
        """Questions with no right item among the first ten. What is stated is the place of the
        first right one (0 where there is none), and how many there are."""
        found = self.measured.hits("hit_rate")
        assert found is not None
        wrong = np.flatnonzero(~found)
        raw = self._answers[""].raw
        shown = []
        for row in wrong[:most].tolist():
            right = self._truth[row]
            place = next((at for at, one in enumerate(raw[row].items, 1) if one in right), 0)
            answer = _words(raw[row].items[:3])
            shown.append(Error(row, _words(right[:3]), answer, float(place), float(len(right))))
        return len(wrong), shown

    def details(
        self,
        settings: EvaluationConfig,
        train_counts: Mapping[str, int],
        seed: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Mapping[str, Any]:
        """The fields of `Details`."""
        other = self.others.get("live") or self.others.get("baseline")
        bases = Counter(row.basis for row in self._answers[""].raw if row.basis)
        return {
            "recall": _curve(self.measured),
            "before": () if other is None else _curve(other),
            "bases": tuple(sorted(bases.items())),
            "right": sum(map(len, self._truth)),
            "catalogue": max((row.total for row in self._answers[""].raw), default=0),
        }


def items_of(target: str) -> tuple[str, ...]:
    """The items of a canonical target."""
    if describes(target):
        return ()
    listed = _listed(target)
    return (target,) if listed is None else tuple(listed)


def describes(target: str) -> bool:
    """Whether a canonical target says what a user or an item is like."""
    return target.startswith(DESCRIBES)


def _listed(text: str) -> list[Any] | None:
    """What a JSON list of texts or numbers holds; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    plain = isinstance(found, list) and all(isinstance(one, str | int | float) for one in found)
    return found if plain else None


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("item")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidData("ranking.not_an_item", given=str(value)[:40])
    if len(value) > _LONGEST:
        raise InvalidData(
            "ranking.item_too_long", start=value[:40], length=len(value), limit=_LONGEST
        )
    return value.strip()


def _canonical(items: Sequence[str]) -> str:
    """One item as it is, several as a JSON list; an item that looks like a list as a list of it."""
    different = list(dict.fromkeys(items))
    if len(different) == 1 and _listed(different[0]) is None:
        return different[0]
    return msgspec.json.encode(different).decode()


def _answer(row: Ranked) -> Output:
    items: list[dict[str, Any]] = [
        {"item": item, "score": float(score)}
        for item, score in zip(row.items[: row.shown], row.scores[: row.shown], strict=True)
    ]
    for one, reasons in zip(items, row.because, strict=False):
        if reasons:
            one["because"] = list(reasons)
    return {"items": items, **({"basis": row.basis} if row.basis else {})}


def _measured(truth: Sequence[tuple[str, ...]], raw: np.ndarray) -> Measures:
    total = max((row.total for row in raw), default=0)
    return Measures(truth, [list(row.items) for row in raw], catalogue=total or None)


def _curve(measured: Measures) -> tuple[tuple[int, float], ...]:
    return tuple((k, round(measured.recall_at(k), 6)) for k in _CUTS)


def _words(items: Sequence[str]) -> str:
    cut = (one if len(one) <= _EXCERPT else one[: _EXCERPT - 1] + "…" for one in items)
    return "; ".join(" ".join(one.split()) for one in cut) or "–"


RANKING = RankingFamily()

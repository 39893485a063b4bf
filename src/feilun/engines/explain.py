"""Why an answer is what it is: how much each word, square or column spoke for it, in the unit of
the family: the log-odds of a label against the next best, what a number would be without it.

The linear baseline on n-grams is explained exactly: its weights times the features, each n-gram's
share given to the characters that it stands on. Any other model is asked again without each part in
turn (occlusion; Zeiler and Fergus, 2014), which needs nothing but the variant that answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import numpy as np

from feilun.engines.base import Engine
from feilun.engines.cascade import LEVEL, CascadeEngine
from feilun.families.base import Contrast
from feilun.messages import LANGUAGES, Language, t
from feilun.modalities.pieces import MOST, Pieces, word_pieces
from feilun.modalities.text.ngrams import NGrams, origins
from feilun.tasks import base as tasks
from feilun.types import Item, Output, Scalar

__all__ = ["Explanation", "explain", "explain_later"]

_REASONS = 4  # columns that are named as reasons
_LETTERS = 60  # of a value in a reason

Ask = Callable[[Sequence[Item], Mapping[str, Any]], Awaitable[tuple[list[Output], float]]]
"""Answers with all their scores, and the engine's seconds, to items and the options of
`EngineRequest`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What spoke for `label` and against `other`: above 0 for it. `spans` are places in `text`, or
    `grid` the (rows, columns) of a picture's squares, row by row, or `cells` the
    columns of a row with their values; one of `weights` for each. Of a scorecard `points` are those
    that each of the cells has, and the most that its column gives."""

    label: str
    other: str
    method: Literal["exact", "occlusion"]
    weights: tuple[float, ...]
    spans: tuple[tuple[int, int], ...] = ()
    grid: tuple[int, int] | None = None
    text: str = ""
    cells: tuple[tuple[str, Scalar], ...] = ()
    points: tuple[tuple[int, int], ...] = ()

    def reasons(self, lang: Language) -> list[str]:
        """The columns that spoke most for the answer, in words (reason codes). Of a scorecard those
        whose points stay furthest below what their column gives at most: why not more."""
        if self.points:
            lost = [most - given for given, most in self.points]
            order = sorted(range(len(lost)), key=lambda place: -lost[place])
            return [
                t(
                    "engines.reason_points",
                    lang,
                    what=_named(*self.cells[place], lang),
                    points=self.points[place][0],
                    most=self.points[place][1],
                )
                for place in order[:_REASONS]
                if lost[place] > 0
            ]
        order = sorted(range(len(self.cells)), key=lambda place: -self.weights[place])
        return [
            t("engines.reason_for", lang, what=_named(*self.cells[place], lang), label=self.label)
            for place in order[:_REASONS]
            if self.weights[place] > 0
        ]

    def to_output(self) -> dict[str, Any]:
        """As it travels: ``parts`` of a text with their places or of a row with their columns, or a
        ``grid`` of rows."""
        ends = {"for": self.label, "against": self.other}
        head: dict[str, Any] = {name: one for name, one in ends.items() if one}
        head["method"] = self.method
        rounded = [round(weight, 4) for weight in self.weights]
        if self.grid is not None:
            width = self.grid[1]
            lines = [rounded[place : place + width] for place in range(0, len(rounded), width)]
            return {**head, "grid": lines}
        if self.cells:
            named = [
                {"column": name, "value": _legible(value), "weight": weight}
                for (name, value), weight in zip(self.cells, rounded, strict=True)
            ]
            for part, (given, most) in zip(named, self.points, strict=False):
                part |= {"points": given, "most": most}
            said: dict[str, Any] = {**head, "parts": named}
            if self.label:
                said["reasons"] = {lang: self.reasons(lang) for lang in LANGUAGES}
            return said
        parts = [
            {"text": self.text[start:end], "start": start, "end": end, "weight": weight}
            for (start, end), weight in zip(self.spans, rounded, strict=True)
        ]
        return {**head, "parts": parts}


def _named(column: str, value: Scalar, lang: Language) -> str:
    if value is None:
        return t("engines.cell_missing", lang, column=column)
    said = _legible(value)
    if isinstance(said, float):
        said = f"{said:g}" if abs(said) < 1e6 else f"{said:,.0f}"
    text = str(said)
    short = text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"
    return t("engines.cell_is", lang, column=column, value=short)


def _legible(value: Scalar) -> Scalar:
    """A picture by its size: nobody wants to have it back."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else value


class _Exact(Protocol):
    """What an engine has whose answers are sums over columns of features."""

    def contributions(
        self, item: Item, direction: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None: ...


def explain(
    engine: Engine, item: Item, answer: str | None = None, other: str | None = None
) -> Explanation | None:
    """Explains one checked item, by default its answer against the next best. None where there is
    nothing to explain: one label alone, a family without explanations, an item without parts."""
    if engine.info.get("remote"):
        return None  # each question might cost money
    (whole,) = engine.predict([item], all_scores=True)
    engine, _ = _answering(engine, item)
    contrast = _contrast(engine, whole, answer, other)
    if contrast is None:
        return None
    exact = _exactly(engine, item, contrast)
    if exact is not None:
        return exact
    pieces = tasks.of(engine.card.schema).pieces(item)
    if pieces is None:
        return None
    return _occluded(engine.predict(_questions(pieces), all_scores=True), pieces, contrast)


async def explain_later(
    engine: Engine, item: Item, output: Output, ask: Ask
) -> tuple[Explanation | None, float]:
    """`explain` for a server, and the engine's seconds: `output` is the answer with all its scores,
    and what else has to be asked goes through `ask`."""
    if engine.info.get("remote"):
        return None, 0.0
    engine, options = await asyncio.to_thread(_answering, engine, item)
    contrast = _contrast(engine, output)
    if contrast is None:
        return None, 0.0
    exact = await asyncio.to_thread(_exactly, engine, item, contrast)
    if exact is not None:
        return exact, 0.0
    task = tasks.of(engine.card.schema)
    pieces = await asyncio.to_thread(task.pieces, item)
    if pieces is None:
        return None, 0.0
    questions = await asyncio.to_thread(_questions, pieces)
    outputs, seconds = await ask(questions, options)
    return _occluded(outputs, pieces, contrast), seconds


def _answering(engine: Engine, item: Item) -> tuple[Engine, Mapping[str, Any]]:
    """The engine that answers `item`, and the options by which it is asked: the stage where a
    cascade passes on what it is not sure of. What an item is without a part is asked of the same
    stage, or the switch would be explained instead of the answer."""
    if not isinstance(engine, CascadeEngine):
        return engine, {}
    place = engine.answering(item)
    return engine.stages[place], {LEVEL: place}


def _contrast(
    engine: Engine, output: Output, answer: str | None = None, other: str | None = None
) -> Contrast | None:
    card = engine.card
    family = tasks.of(card.schema).family
    return family.contrast(card.schema, card.point, output, answer, other)


def _questions(pieces: Pieces) -> list[Item]:
    return [pieces.whole, *(pieces.without(index) for index in range(pieces.count))]


def _occluded(outputs: Sequence[Output], pieces: Pieces, contrast: Contrast) -> Explanation:
    values = [contrast.measure(output) for output in outputs]
    weights = tuple(values[0] - each for each in values[1:])
    text = pieces.whole if isinstance(pieces.whole, str) else ""
    spans, grid, cells = tuple(pieces.spans), pieces.grid, tuple(pieces.cells)
    ends = contrast.answer, contrast.other
    return Explanation(*ends, "occlusion", weights, spans, grid, text, cells)


def _exactly(engine: Engine, item: Item, contrast: Contrast) -> Explanation | None:
    """The exact explanation of a text by a model on n-grams, and of a row of a table by a model
    that knows what each column adds; None for anything else."""
    schema = engine.card.schema
    owners = getattr(engine, "owners", None)
    if owners is not None:
        return _by_column(engine, item, contrast, owners)
    if not hasattr(engine, "contributions") or not isinstance(item, str):
        return None
    features = tasks.of(schema).features(schema.settings)
    if not isinstance(features, NGrams):
        return None
    found = cast(_Exact, engine).contributions(item, contrast.direction)
    if found is None:
        return None
    letters = _on_letters(features, item, *found)
    sums = np.concatenate(([0.0], np.cumsum(letters)))
    spans = tuple(word_pieces(item, MOST))
    weights = tuple(float(sums[end] - sums[start]) for start, end in spans)
    return Explanation(contrast.answer, contrast.other, "exact", weights, spans, text=item)


def _by_column(
    engine: Engine, item: Item, contrast: Contrast, owners: np.ndarray
) -> Explanation | None:
    """What each column adds: the sum over the features that are its own."""
    schema = engine.card.schema
    task = tasks.of(schema)
    found = cast(_Exact, engine).contributions(item, contrast.direction)
    if found is None:
        return None
    names = [column.name for column in task.columns]
    weights = np.bincount(owners[found[0]], weights=found[1], minlength=len(names))
    row = item if isinstance(item, Mapping) else {names[0]: item}
    told = [n for n, name in enumerate(names) if row.get(name) is not None or weights[n]]
    given: Mapping[str, tuple[int, int]] = {}
    if hasattr(engine, "points"):
        given = engine.points(item)
        told = [n for n, name in enumerate(names) if name in given]
    cells = tuple((names[n], row.get(names[n])) for n in told)
    ends = contrast.answer, contrast.other
    points = tuple(given[names[n]] for n in told) if given else ()
    return Explanation(*ends, "exact", tuple(weights[told].tolist()), cells=cells, points=points)


def _on_letters(
    features: NGrams, text: str, columns: np.ndarray, amounts: np.ndarray
) -> np.ndarray:
    """What each character of `text` adds: a column's amount is divided among the places where its
    n-grams stand, and there among the characters that are no white space."""
    normal, starts, ends, found = features.places(text)
    places = np.searchsorted(columns, found)
    places[places == len(columns)] = 0
    counts = columns[places] == found if len(columns) else np.zeros(len(found), dtype=bool)
    starts, ends, places = starts[counts], ends[counts], places[counts]
    times = np.bincount(places, minlength=len(columns))
    solid = np.array([not letter.isspace() for letter in normal])
    width = np.concatenate(([0], np.cumsum(solid)))
    letters = width[ends] - width[starts]
    each = np.where(letters > 0, amounts[places] / times[places] / np.maximum(letters, 1), 0.0)
    change = np.zeros(len(normal) + 1)
    np.add.at(change, starts, each)
    np.add.at(change, ends, -each)
    value = np.cumsum(change[:-1]) * solid
    return np.bincount(origins(text), weights=value, minlength=len(text))[: len(text)]

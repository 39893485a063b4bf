"""Methods side by side, as people look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.durations import spoken
from feilun.errors import UsageError
from feilun.messages import t
from feilun.metrics.scores import Score
from feilun.pipeline.context import Context
from feilun.pipeline.steps.compare import Compared, Comparison
from feilun.pipeline.steps.compare import compare as side_by_side
from feilun.table import Result, Table, to_jsonable

__all__ = ["FOLDER", "ComparisonView", "compare"]

FOLDER = "comparisons"
"""Of a project, beside its settings."""
_ALL = "all"


@dataclass(frozen=True)
class ComparisonView(Result):
    """What `found` of a project; see `feilun.pipeline.steps.compare.Comparison`."""

    project: str
    found: Comparison

    def to_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_jsonable(self.found)
        return {"project": self.project, **plain}

    def tables(self) -> Sequence[Table]:
        found = self.found
        ran = [one for one in found.methods if one.score is not None]
        others = [one for one in found.methods if one.score is None]
        title = t("compare.title", project=self.project, data=found.data, rows=found.train)
        columns = [
            t("compare.method"),
            found.metric,
            t("compare.gain", reference=found.reference),
            t("compare.trained"),
            t("compare.time"),
            t("compare.memory_peak"),
        ]
        notes = [t("compare.judged", rows=found.rows)]
        if not found.higher_is_better:
            notes.append(t("compare.lower", metric=found.metric))
        if found.again:
            notes.append(t("compare.again"))
        tables = [Table(title, columns, [_words(one, found.reference) for one in ran], notes)]
        if others:
            rows = [
                [one.method, t("compare.failed") if one.failed else t("compare.left"), one.reason]
                for one in others
            ]
            head = [t("compare.method"), "", t("compare.reason")]
            tables.append(Table(t("compare.not_compared"), head, rows))
        return tuple(tables)


def compare(
    context: Context,
    folder: Path,
    wanted: str | Sequence[str],
    reference: str | None,
    *,
    anew: bool,
) -> ComparisonView:
    """`wanted` are names of methods, or ``all``. Raises `UsageError` where none is named."""
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise UsageError("compare.none_named")
    chosen = () if names == [_ALL] else tuple(dict.fromkeys(names))
    found = side_by_side(context, folder / FOLDER, chosen, reference, anew=anew)
    return ComparisonView(context.project, found)


def _words(one: Compared, reference: str) -> list[str]:
    gain = "–" if one.method == reference or one.gain is None else _score(one.gain, "+.4g")
    return [
        one.method,
        _score(one.score, ".4g"),
        gain,
        "–" if one.trained is None else f"{one.trained:,}",
        "–" if one.seconds is None else spoken(one.seconds),
        "–" if one.memory_bytes is None else f"{one.memory_bytes / 2**20:,.0f} MiB",
    ]


def _score(score: Score | None, form: str) -> str:
    if score is None:
        return "–"
    return f"{score.value:{form}} ({score.low:{form}} … {score.high:{form}})"

"""What the report shows of parts of the rows: slices beside the live version, months, and how
often the rows have been asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from feilun.evaluation.gate_parts import part_name
from feilun.evaluation.result import Evaluation, Forgetting, Slice
from feilun.render import wording
from feilun.render.bilingual import both, say
from feilun.render.figures import interval
from feilun.render.svg import bar

__all__ = ["asked_tile", "part_rows", "view_parts"]

_NOTHING = "–"


def view_parts(evaluation: Evaluation, forgetting: Forgetting | None) -> dict[str, Any]:
    """The rows of both tables; `parts_lead` where the slices are compared."""
    compared = any(one.p is not None for one in evaluation.slices)
    months = [one for one in forgetting.parts if one.column == "month"] if forgetting else []
    proven = 1 - evaluation.confidence
    return {
        "slices": part_rows(evaluation.slices, proven, evaluation.primary),
        "compared": compared,
        "parts_lead": say("gate.report_parts_lead", parts=len(evaluation.slices)),
        "months": part_rows(months, proven, evaluation.primary),
    }


def part_rows(parts: Sequence[Slice], proven: float, metric: str) -> list[dict[str, Any]]:
    """One row of text for each part."""
    return [_row(one, proven, metric) for one in parts]


def asked_tile(evaluation: Evaluation) -> dict[str, Any]:
    """The figure in large type: versions judged on these rows."""
    counted = evaluation.consultations
    under = ""
    if evaluation.against("live") is not None:
        under = say("gate.tile_attempts", attempts=counted.attempts)
    many = counted.total >= evaluation.fresh_after
    return {
        "name": say("gate.tile_asked"),
        "value": wording.number(counted.total),
        "under": under,
        "tone": "down" if many else "",
    }


def _row(one: Slice, proven: float, metric: str) -> dict[str, Any]:
    words = part_name(one)
    score = one.score
    row: dict[str, Any] = {
        "name": both(lambda lang: words[lang]),
        "rows": wording.number(one.rows),
        "bar": bar((score.value, score.low, score.high), 0.0, 1.0),
        "value": wording.level(metric, score.value),
        "range": interval(metric, score),
        "before": _NOTHING,
        "gain": "",
        "gain_range": "",
        "tag": "",
        "tone": "",
    }
    if one.gain is None or one.p is None or one.before is None:
        return row
    gain = one.gain
    row["before"] = wording.level(metric, one.before.value)
    row["gain"] = wording.signed(metric, gain.value)
    row["gain_range"] = (
        f"{wording.signed('accuracy', gain.low)} … {wording.signed('accuracy', gain.high)}"
    )
    if one.worse:
        row["tag"], row["tone"] = say("gate.tag_worse"), "down"
    elif one.p <= proven:
        row["tag"], row["tone"] = say("gate.tag_less"), "down"
    elif gain.value < 0:
        row["tag"] = say("gate.tag_chance")
    return row

"""What the gate says of parts of the rows: slices, months, labels, earlier rows, and of rows that
have been asked too often."""

from __future__ import annotations

from collections.abc import Sequence

from feilun.evaluation.consultations import luck
from feilun.evaluation.result import Evaluation, Forgetting, Slice
from feilun.messages import LANGUAGES, t
from feilun.render.reason import Figure, Reason

__all__ = ["FORGOT", "asked", "forgotten", "part_name", "parts"]

FORGOT = 0.5
"""Largest probability that the earlier rows lost more than the margin."""
_NAMED = 5
_NAMES = {
    "short": "gate.part_short",
    "long": "gate.part_long",
    "chinese": "gate.part_chinese",
    "other": "gate.part_other",
    "low": "gate.part_low",
    "high": "gate.part_high",
    "source": "gate.part_source",
    "subject": "gate.part_subject",
    "group": "gate.part_group",
    "month": "gate.part_month",
}


def part_name(part: Slice) -> dict[str, str]:
    """The part in words, by language."""
    own = part.column in ("", "length", "language") or part.limit is not None
    code = _NAMES.get(part.name if own else part.column, "gate.part_value")
    said = {"column": part.column, "value": part.name, "limit": part.limit or 0}
    return {lang: t(code, lang, **said) for lang in LANGUAGES}


def parts(evaluation: Evaluation) -> list[Reason]:
    """Slices that lost against the live version: proven and large is a reason against, proven and
    small a note."""
    live = evaluation.against("live")
    if live is None:
        return []
    return _lost(evaluation.slices, evaluation, live.name, "gate.part_worse", "gate.part_less")


def _lost(
    found: Sequence[Slice], evaluation: Evaluation, other: str, worse: str, less: str
) -> list[Reason]:
    proven = 1 - evaluation.confidence
    lost = [one for one in found if one.p is not None and one.p <= proven and one.gain is not None]
    lost.sort(key=lambda one: (not one.worse, one.gain.value if one.gain else 0.0))
    reasons = []
    for one in lost[:_NAMED]:
        assert one.gain is not None
        figures: dict[str, Figure] = {
            "name": evaluation.name,
            "other": other,
            "slice": tuple(part_name(one).values()),
            "rows": one.rows,
            "gain": one.gain.value,
            "low": one.gain.low,
            "high": one.gain.high,
            "margin": evaluation.slice_margin,
            "parts": len(found),
        }
        if one.worse:
            reasons.append(Reason(worse, figures, "against"))
        else:
            reasons.append(Reason(less, figures, "note"))
    return reasons


def forgotten(evaluation: Evaluation, forgetting: Forgetting | None) -> list[Reason]:
    """What an update lost of the earlier test rows, as a whole and by month."""
    if forgetting is None or forgetting.change is None:
        return []
    figures: dict[str, Figure] = {
        "name": evaluation.name,
        "rows": forgetting.rows,
        "gained": forgetting.gained,
        "forgotten": forgetting.forgotten,
        "gain": forgetting.change.value,
        "low": forgetting.change.low,
        "high": forgetting.change.high,
        "margin": evaluation.margin,
        "risk": forgetting.risk,
        "limit": FORGOT,
    }
    against = forgetting.risk > FORGOT
    code = "evaluation.gate_forgot" if against else "evaluation.gate_remembers"
    reasons = [Reason(code, figures, "against" if against else "note")]
    months = [one for one in forgetting.parts if one.column == "month"]
    reasons += _lost(
        months, evaluation, forgetting.before_name, "gate.month_worse", "gate.month_less"
    )
    labels = [one for one in forgetting.classes if one.p is not None]
    for held in labels:
        if held.p is not None and held.p <= 1 - evaluation.confidence:
            lost: dict[str, Figure] = {
                "label": held.label,
                "rows": held.rows,
                "before": held.before,
                "after": held.after,
            }
            reasons.append(Reason("gate.label_less", lost, "note"))
    return reasons


def asked(evaluation: Evaluation) -> list[Reason]:
    """How often the rows have been asked, once that changes anything."""
    counted = evaluation.consultations
    reasons = []
    live = evaluation.against("live")
    if counted.attempts > 1 and live is not None and live.error:
        figures: dict[str, Figure] = {
            "metric": evaluation.primary,
            "attempts": counted.attempts,
            "luck": luck(counted.attempts) * live.error,
        }
        reasons.append(Reason("gate.luck", figures, "note"))
    if counted.total >= evaluation.fresh_after:
        reasons.append(Reason("gate.fresh_rows", {"total": counted.total}, "note"))
    return reasons

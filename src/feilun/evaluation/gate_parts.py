"""What the gate says of parts of the rows: slices, months, labels, earlier rows, and of rows that
have been asked too often."""

from __future__ import annotations

from collections.abc import Sequence

from feilun.evaluation.consultations import luck
from feilun.evaluation.result import Evaluation, Forgetting, Slice
from feilun.messages import LANGUAGES, t
from feilun.render.reason import Figure, Reason

__all__ = ["asked", "forgot", "forgotten", "part_name", "parts"]

_FEWEST = 20
"""Earlier rows below which what they lost is told and refuses nothing, as for other parts."""
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


def forgot(change: float, loss_p: float | None, rows: int, margin: float, sure: float) -> bool:
    """Whether an update is refused for what it lost of the earlier test rows: the loss is proven
    (`loss_p` at most 1 - `sure`, as for other parts) and, as measured, larger than `margin`.

    The live version went live by these very rows, so luck has made it look better on them than it
    is; and an update is wanted for what customers ask now, of which they are no sample. A loss that
    is merely likely is told, and refuses nothing.
    """
    proven = loss_p is not None and loss_p <= 1 - sure
    return proven and rows >= _FEWEST and change < -margin


def forgotten(evaluation: Evaluation, forgetting: Forgetting | None) -> list[Reason]:
    """What an update lost of the earlier test rows, as a whole and by month."""
    if forgetting is None or forgetting.change is None:
        return []
    change, margin = forgetting.change, evaluation.forget_margin
    figures: dict[str, Figure] = {
        "metric": evaluation.primary,
        "name": evaluation.name,
        "rows": forgetting.rows,
        "gained": forgetting.gained,
        "forgotten": forgetting.forgotten,
        "gain": change.value,
        "low": change.low,
        "high": change.high,
        "margin": margin,
    }
    if forgot(change.value, forgetting.p, forgetting.rows, margin, evaluation.confidence):
        reasons = [Reason("gate.forgot", figures, "against")]
    elif change.value < -margin:
        reasons = [Reason("gate.may_have_forgotten", figures, "note")]
    else:
        reasons = [Reason("gate.remembers", figures, "note")]
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

"""Whether a candidate may go live, and why: evidence before promotion.

A candidate goes live when it is not worse than the live version beyond the margin: the paired
probability of a larger loss must not exceed `RISK`, less with every further attempt on the same
rows. It is refused when that loss is more likely than not. In between the rows cannot tell, and the
setting ``evaluation.unsure`` decides. It is refused, too, when it loses to a cheaper rung, when it
is worse than always giving the most frequent label, when a label that another version finds is
never found any more, when a part of the rows lost much and for certain, when an update forgot more
than the margin, and when it answers exactly as the live version does: nothing is gained then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from feilun.evaluation.consultations import risk_limit
from feilun.evaluation.gate_parts import FORGOT, asked, forgotten, parts
from feilun.evaluation.result import Comparison, Evaluation, Forgetting
from feilun.messages import Language
from feilun.render.reason import Figure, Reason

__all__ = ["FORGOT", "MOST_ROWS", "UNSURE", "Decision", "Reason", "Verdict", "decide"]

UNSURE = 0.5
"""Up to this probability of a loss beyond the margin the rows cannot tell; above it the loss is
more likely than not, and the candidate is refused whatever the settings say."""
MOST_ROWS = 100_000
"""Beyond this many more rows no number is named: the versions are as good as equal."""

Verdict = Literal["better", "equal", "not_worse", "worse", "cannot_tell", "first"]
"""``not_worse``: the risk of a loss beyond the margin is small enough, and no gain is proven."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`verdict` compares with the live version (``first`` where there is none); `promote` is the
    gate's answer. `more_rows` estimates how many more labelled test rows would settle a
    ``cannot_tell`` (0: the risk is settled, only the gain is not); None where no number can be
    named or none is needed. `acts`: what passes goes live at once, as in a turn of the wheel."""

    promote: bool
    verdict: Verdict
    reasons: tuple[Reason, ...]
    more_rows: int | None = None
    acts: bool = False

    def sentences(self, lang: Language | None = None) -> list[str]:
        """The reasons, the ones that decided first."""
        return [reason.text(lang) for reason in self.reasons]

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal decision back."""
        plain: dict[str, Any] = TypeAdapter(Decision).dump_python(self, mode="json")
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Decision:
        """The decision that `to_json` wrote. Raises pydantic's `ValidationError` for others."""
        return TypeAdapter(Decision).validate_python(raw)


def decide(evaluation: Evaluation, *, forgetting: Forgetting | None = None) -> Decision:
    """Weighs the evidence. Pure: the same evaluation gives the same decision."""
    live = evaluation.against("live")
    reasons: list[Reason] = []
    more_rows = None
    if live is None:
        verdict: Verdict = "first"
        alone = "evaluation.gate_is_live" if evaluation.is_live else "evaluation.gate_first"
        reasons.append(Reason(alone, {"name": evaluation.name}, "for"))
    else:
        verdict = _verdict(live, evaluation.margin, _limit(evaluation))
        reasons += _against_live(evaluation, live, verdict)
        if verdict == "cannot_tell" or (verdict == "worse" and live.known.high >= 0):
            more_rows = _rounded(live.more_rows)
            reasons += _label_more(more_rows)
        reasons += asked(evaluation)
    reasons += _rungs(evaluation)
    reasons += evaluation.family.reasons(evaluation)
    reasons += parts(evaluation)
    reasons += forgotten(evaluation, forgetting)
    promote = all(reason.weight != "against" for reason in reasons)
    decisive = "for" if promote else "against"
    reasons.sort(key=lambda reason: reason.weight != decisive)
    return Decision(promote, verdict, tuple(reasons), more_rows)


def _limit(evaluation: Evaluation) -> float:
    return risk_limit(evaluation.consultations.attempts)


def _verdict(other: Comparison, margin: float, limit: float) -> Verdict:
    if other.same:
        return "equal"
    gain = other.known
    if other.risk > limit:
        unsure = other.risk <= UNSURE and gain.high >= 0
        return "cannot_tell" if unsure else "worse"
    if gain.low > 0:
        return "better"
    if gain.low >= -margin and gain.high <= margin:
        return "equal"
    return "worse" if gain.high < 0 else "not_worse"


def _against_live(evaluation: Evaluation, live: Comparison, verdict: Verdict) -> list[Reason]:
    """How the candidate stands to the live version; decides whether it may go live."""
    figures = _figures(evaluation, live)
    if live.same:
        return [Reason("evaluation.gate_same", figures, "against")]
    if verdict == "cannot_tell":
        if evaluation.unsure == "promote":
            return [
                Reason("evaluation.gate_unsure", figures, "note"),
                Reason("gate.unsure_promoted", figures, "for"),
            ]
        return [
            Reason("evaluation.gate_unsure", figures, "against"),
            Reason("gate.held", figures, "note"),
        ]
    if verdict == "worse" and live.risk > _limit(evaluation):
        proven = live.known.high < 0
        code = "evaluation.gate_worse" if proven else "gate.likely_worse"
        return [Reason(code, figures, "against")]
    codes = {
        "better": "evaluation.gate_better",
        "equal": "evaluation.gate_equal",
        "not_worse": "evaluation.gate_safe",
        "worse": "evaluation.gate_worse_within",
    }
    return [Reason(codes[verdict], figures, "for")]


def _figures(evaluation: Evaluation, other: Comparison) -> dict[str, Figure]:
    return {
        "metric": evaluation.primary,
        "name": evaluation.name,
        "other": other.name,
        "gain": other.known.value,
        "low": other.known.low,
        "high": other.known.high,
        "rows": other.rows,
        "margin": evaluation.margin,
        "risk": other.risk,
        "limit": _limit(evaluation),
    }


def _label_more(more_rows: int | None) -> list[Reason]:
    if more_rows is None:
        return [Reason("evaluation.gate_label_many", {"rows": MOST_ROWS}, "note")]
    if more_rows:
        return [Reason("evaluation.gate_label_more", {"rows": more_rows}, "note")]
    return []


def _rounded(rows: int | None) -> int | None:
    """Two digits are all that such an estimate has; None beyond `MOST_ROWS`."""
    if rows is None or rows > MOST_ROWS:
        return None
    unit = max(int(10 ** (len(str(rows)) - 2)), 10)
    return math.ceil(rows / unit) * unit


def _rungs(evaluation: Evaluation) -> list[Reason]:
    """A dearer rung must beat each cheaper one that it was compared with."""
    reasons: list[Reason] = []
    seen: set[str] = set()
    for role in ("below", "baseline"):
        other = evaluation.against(role)
        if other is None or other.method in ("majority", evaluation.method) or other.name in seen:
            continue
        seen.add(other.name)
        figures = {**_figures(evaluation, other), "method": evaluation.method_key(other.method)}
        if other.known.value > 0:
            reasons.append(Reason("evaluation.gate_rung_wins", figures, "note"))
        else:
            reasons.append(Reason("evaluation.gate_rung_loses", figures, "against"))
    return reasons

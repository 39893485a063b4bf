"""Whether a candidate may go live, and why: evidence before promotion.

A candidate goes live when a gain over the live version is to be expected of it
(`feilun.evaluation.expectation`): what was measured on the same rows, taken for as much as they are
worth, less the luck of many attempts. So does one that is clearly cheaper, where it is shown that
it loses no more than the margin, neither against the live version nor against the best one that was
ever live. Where it knows labels that the live version does not, which
these rows cannot count, it may be expected to lose up to the margin on the others. It is refused,
too, when it loses to a cheaper stage, when it is worse than always giving the most frequent label,
when a label that another version finds is never found any more, when a part of the rows lost much
and for certain, when an update lost more of the earlier rows than it may and for certain, and when
it answers exactly as the live version does: nothing is gained then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from feilun.evaluation.gate_parts import asked, forgotten, parts
from feilun.evaluation.result import UNSURE, Comparison, Evaluation, Forgetting, Saving
from feilun.messages import Language
from feilun.render.reason import Figure, Reason

__all__ = ["MOST_ROWS", "UNSURE", "Decision", "Reason", "Verdict", "decide"]

_STORED = (
    "evaluation.gate_worse",
    "evaluation.gate_worse_within",
    "evaluation.gate_safe",
    "evaluation.gate_unsure",
    "gate.likely_worse",
    "gate.held",
    "gate.unsure_promoted",
    "gate.attempts",
    "evaluation.gate_forgot",
    "evaluation.gate_remembers",
)
"""Reasons of decisions that were made by the risk of a loss, up to 0.1, or of forgetting; they are
still shown."""
MOST_ROWS = 100_000
"""Beyond this many more rows no number is named: the versions are as good as equal."""
_NAMED = 8
_LEAST_UPSTREAM = 20
"""Rows without which nothing can be said of how good the answers are that would be saved."""

Verdict = Literal["better", "equal", "not_worse", "cheaper", "worse", "cannot_tell", "first"]
"""``not_worse``: a gain is to be expected, and none is proven. ``cheaper``: none is, but the loss
is shown to be within the margin, and the answers cost clearly less."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`verdict` compares with the live version (``first`` where there is none); `promote` is the
    gate's answer. `more_rows` estimates how many more labelled test rows would settle a
    ``cannot_tell``; None where no number can be named or none is needed. `acts`: what passes goes
    live at once, as in a turn of the wheel."""

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
        verdict = _verdict(live, evaluation.margin)
        if evaluation.saves and not live.gains and evaluation.answered_here is None:
            verdict = "cheaper"
        reasons += _against_live(evaluation, live)
        if verdict == "cannot_tell" or (verdict == "worse" and live.evidence.high >= 0):
            more_rows = _rounded(live.more_rows)
            reasons += _label_more(more_rows)
        reasons += asked(evaluation)
    reasons += _stages(evaluation)
    reasons += evaluation.family.reasons(evaluation)
    reasons += parts(evaluation)
    reasons += forgotten(evaluation, forgetting)
    promote = all(reason.weight != "against" for reason in reasons)
    decisive = "for" if promote else "against"
    reasons.sort(key=lambda reason: reason.weight != decisive)
    return Decision(promote, verdict, tuple(reasons), more_rows)


def _verdict(other: Comparison, margin: float) -> Verdict:
    gain = other.evidence
    if other.same:
        return "equal"
    if other.gains and gain.low > 0:
        return "better"
    if gain.low >= -margin and gain.high <= margin:
        return "equal"
    if other.gains:
        return "not_worse"
    return "worse" if gain.high < 0 or other.risk > UNSURE else "cannot_tell"


def _against_live(evaluation: Evaluation, live: Comparison) -> list[Reason]:
    """How the candidate stands to the live version; decides whether it may go live."""
    figures = _figures(evaluation, live)
    if evaluation.answered_here is not None:
        return _against_upstream(evaluation, live, figures)
    if live.same and not evaluation.saves:
        return [Reason("evaluation.gate_same", figures, "against")]
    codes = {
        "better": "evaluation.gate_better",
        "equal": "evaluation.gate_equal",
        "not_worse": "gate.differs",
        "worse": "gate.loses",
        "cannot_tell": "gate.cannot_tell",
    }
    said = _verdict(live, evaluation.margin)
    code = codes[said]
    if live.fold_rows:
        code = f"gate.{said}_folds"
        figures["folds"] = live.fold_rows
    notes = []
    if live.drawn is not None:
        now = {"gain": live.drawn.value, "low": live.drawn.low, "high": live.drawn.high}
        now["plain"] = live.known.value
        notes = [Reason("gate.drawn", {**figures, **now, "drawn": live.drawn_rows}, "note")]
    if live.gains:
        worth = {**figures, "rows": live.rows + live.fold_rows}
        return [Reason(code, figures, "for"), Reason("gate.gain_expected", worth, "note"), *notes]
    if evaluation.saves:
        return [*_saves(evaluation, live, figures), Reason(code, figures, "note"), *notes]
    dearer = _too_little_saved(evaluation, figures)
    within = figures["expected"] >= -evaluation.margin  # type: ignore[operator]
    if live.new_labels and within and said != "worse":
        named = {**figures, "labels": live.new_labels[:_NAMED]}
        adds = evaluation.sentence("gate.adds_labels")
        return [Reason(code, figures, "note"), Reason(adds, named, "for"), *notes]
    if evaluation.unsure == "promote" and within and said != "worse":
        return [Reason(code, figures, "note"), Reason("gate.loss_allowed", figures, "for"), *notes]
    against = Reason("gate.no_gain_expected", figures, "note")
    return [Reason(code, figures, "against"), against, *dearer, *notes]


def _saves(evaluation: Evaluation, live: Comparison, figures: dict[str, Figure]) -> list[Reason]:
    """That a cheaper version may go live: what it saves, and what it may lose of what."""
    found = evaluation.saving
    assert found is not None
    told = {**figures, **_money(found), "needed_part": evaluation.least_saving}
    best = evaluation.against("best")
    if best is None:
        return [Reason("gate.saves", told, "for")]
    than: dict[str, Figure] = {
        **told,
        "best": best.name,
        "best_gain": best.evidence.value,
        "best_low": best.evidence.low,
        "best_high": best.evidence.high,
    }
    return [Reason("gate.saves", told, "for"), Reason("gate.best_kept", than, "note")]


def _too_little_saved(evaluation: Evaluation, figures: dict[str, Figure]) -> list[Reason]:
    """What speaks against going live for being cheaper, where that was measured."""
    found = evaluation.saving
    if found is None or found.share <= 0:
        return []
    told = {**figures, **_money(found), "needed_part": evaluation.least_saving}
    return [Reason("gate.saves_little", told, "note")]


def _money(found: Saving) -> dict[str, Figure]:
    return {
        "now_cost": found.cost,
        "before_cost": found.before,
        "currency": found.currency,
        "part": found.share,
    }


def _within(evaluation: Evaluation, other: Comparison) -> bool:
    """Whether the candidate is expected to lose no more than the margin, and not shown to lose."""
    worse = _verdict(other, evaluation.margin) == "worse"
    return not worse and other.expected_gain >= -evaluation.margin


def _against_upstream(
    evaluation: Evaluation, live: Comparison, figures: dict[str, Figure]
) -> list[Reason]:
    """The live version passes its calls on, which costs money: to lose no more than the margin is
    enough. Rows on which both say the same have an interval of no width, however few they are."""
    here = evaluation.answered_here or 0.0
    figures = {**figures, "here": here, "needed": _LEAST_UPSTREAM}
    if not here:
        return [Reason("gate.nothing_here", figures, "against")]
    if live.rows < _LEAST_UPSTREAM:
        return [Reason("gate.few_upstream", figures, "against")]
    if live.evidence.low < -evaluation.margin:
        return [Reason("gate.loses_upstream", figures, "against")]
    return [Reason("gate.as_good_as_upstream", figures, "for")]


def _figures(evaluation: Evaluation, other: Comparison) -> dict[str, Figure]:
    return {
        "metric": evaluation.primary,
        "name": evaluation.name,
        "other": other.name,
        "gain": other.evidence.value,
        "low": other.evidence.low,
        "high": other.evidence.high,
        "rows": other.rows,
        "margin": evaluation.margin,
        "expected": other.known.value if other.expected is None else other.expected,
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


def _stages(evaluation: Evaluation) -> list[Reason]:
    """A dearer stage must beat each cheaper one that it was compared with."""
    reasons: list[Reason] = []
    seen: set[str] = set()
    held = (evaluation.against("live"), evaluation.against("best"))
    passed = {one.name for one in held if one is not None}
    for role in ("below", "baseline"):
        other = evaluation.against(role)
        if other is None or other.method in ("majority", evaluation.method) or other.name in seen:
            continue
        if evaluation.saves and other.name in passed:  # the candidate is the cheaper one
            continue
        seen.add(other.name)
        figures = {**_figures(evaluation, other), "method": evaluation.method_key(other.method)}
        here, its = evaluation.answered_here, evaluation.others_here.get(role)
        if here is not None and its is not None and here > its:
            # Both answer as well as the other server; what is answered here is what is saved.
            shares = {"here": here, "others": its}
            reasons.append(Reason("gate.more_here", {**figures, **shares}, "note"))
        elif other.gains:
            reasons.append(Reason("evaluation.gate_rung_wins", figures, "note"))
        elif other.new_labels and _within(evaluation, other):
            named = {**figures, "labels": other.new_labels[:_NAMED]}
            reasons.append(Reason("gate.rung_lacks", named, "note"))
        else:
            reasons.append(Reason("evaluation.gate_rung_loses", figures, "against"))
    return reasons

"""What compression found: every variant's figures, the choice, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feilun.messages import language, t
from feilun.messages.sentences import to_kept
from feilun.metrics.scores import Score
from feilun.render.wording import level, metric_name

__all__ = ["SURE", "Compression", "Flip", "VariantResult", "choose"]

SURE = 0.2
"""Margin between the float's two best probabilities above which another label is a fault."""

_FASTER = 1.25  # less is within what two measurements on a busy machine differ by


@dataclass(frozen=True, slots=True)
class Flip:
    """A row that the variant answers otherwise than the float, and how sure the float was."""

    row_id: str
    float_label: str
    label: str
    margin: float

    @property
    def fault(self) -> bool:
        """Whether the float was sure."""
        return self.margin > SURE


@dataclass(frozen=True, slots=True)
class VariantResult:
    """A variant measured on `rows` validation rows.

    `score` is the task's primary `metric` with its interval; `loss` is how much worse it is than
    the float's; `latency_ms` the median of one answer at a time,
    `throughput` answers a second of a whole list in sorted batches, `bytes` its size on disk.
    `note` says in words what else there is to know.
    """

    name: str
    metric: str
    score: Score
    loss: float
    latency_ms: float
    throughput: float
    bytes: int
    rows: int
    flipped: tuple[Flip, ...] = ()
    note: str = ""

    @property
    def faults(self) -> int:
        """Flips of rows that the float was sure of."""
        return sum(flip.fault for flip in self.flipped)

    def to_json(self) -> dict[str, Any]:
        """Plain values. `flips` and `faults` are numbers, `flipped` the rows; the score stands
        under the metric's name, and with the 95 % interval under ``accuracy_score`` or the like."""
        raw = asdict(self)
        score = raw.pop("score")
        del raw["note"]
        return {
            **raw,
            **({"note": to_kept(self.note)} if self.note else {}),
            self.metric: self.score.value,
            f"{self.metric}_score": score,
            "flips": len(self.flipped),
            "faults": self.faults,
            "flipped": [{**asdict(flip), "fault": flip.fault} for flip in self.flipped],
        }


@dataclass(frozen=True, slots=True)
class Compression:
    """All variants in `out`, and the `chosen` one's name with the `reasons` in words. Those that
    are `settled` have their operating points already."""

    out: Path
    variants: tuple[VariantResult, ...]
    chosen: str
    reasons: tuple[str, ...]
    settled: tuple[str, ...] = ()

    def folder(self, name: str) -> Path:
        """The folder of a variant; an engine loads it."""
        return self.out / name

    def variant(self, name: str) -> VariantResult:
        """The figures of a variant."""
        return next(variant for variant in self.variants if variant.name == name)

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the folder."""
        return {
            "chosen": self.chosen,
            "reasons": list(self.reasons),
            "variants": {variant.name: variant.to_json() for variant in self.variants},
        }


def choose(
    variants: Sequence[VariantResult], max_loss: float, order: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """The cheapest variant that loses at most `max_loss`, else the most accurate; with the reasons.

    `order` names variants from the cheapest on. Cheapest is the first of it and not the fastest by
    the clock: two measurements on a busy machine differ, and a run that was killed and resumed must
    choose the same again.
    """
    rank = {name: place for place, name in enumerate(order)}
    fit = [variant for variant in variants if variant.loss <= max_loss + 1e-9]
    reasons = [
        t(
            "compression.loses",
            name=variant.name,
            loss=f"{100 * variant.loss:.2f}",
            limit=f"{100 * max_loss:.2f}",
        )
        for variant in variants
        if variant not in fit
    ]
    if not fit:
        best = min(variants, key=lambda variant: (variant.loss, rank[variant.name]))
        return best.name, (
            *reasons,
            _said("compression.none_fits", "compression.none_fits_by", best),
        )
    best = min(fit, key=lambda variant: rank[variant.name])
    reasons.append(_said("compression.cheapest", "compression.cheapest_by", best))
    faster = [one.name for one in fit if one.throughput > _FASTER * best.throughput]
    if faster:
        reasons.append(t("compression.faster_here", name=best.name, faster=faster))
    return best.name, tuple(reasons)


def _said(plain: str, of_metric: str, best: VariantResult) -> str:
    """A sentence on the chosen variant: `plain` is on accuracy, `of_metric` names the metric."""
    facts: dict[str, Any] = {
        "name": best.name,
        "throughput": f"{best.throughput:.0f}",
        "megabytes": f"{best.bytes / 1e6:.1f}",
    }
    if best.metric == "accuracy":
        return t(plain, accuracy=f"{100 * best.score.value:.1f}", **facts)
    lang = language()
    figure = f"{metric_name(best.metric, lang)} {level(best.metric, best.score.value)}"
    return t(of_metric, figure=figure, **facts)

"""What texts, pictures and plain values each add to a version: the same method taught by one of
them alone, and by all but one, on the same test rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from feilun.config import EvaluationConfig
from feilun.engines.card import ALONE, WITHOUT
from feilun.evaluation.result import Evaluation, Modality
from feilun.families.base import Answers, Family
from feilun.messages import Language, language
from feilun.metrics.comparison import judge, scores
from feilun.render import wording
from feilun.render.bilingual import both
from feilun.render.figures import interval, said
from feilun.render.svg import bar

__all__ = ["modalities", "sentences", "view_modalities"]


def modalities(
    family: Family,
    candidate: Answers,
    parts: Mapping[str, Answers],
    named: Mapping[str, tuple[str, ...]],
    truth: np.ndarray,
    labels: tuple[str, ...],
    primary: str,
    settings: EvaluationConfig,
    seed: int,
) -> tuple[Modality, ...]:
    """One for each of the modalities `named` with its columns, where `parts` has what it takes.
    Of two either alone is what is left without the other."""
    how: dict[str, Any] = {
        "resamples": settings.resamples,
        "confidence": settings.confidence,
        "seed": seed,
    }
    sheet = family.sheet(candidate, parts, truth, labels)
    found = []
    for kind, columns in named.items():
        others = [one for one in named if one != kind]
        alone = sheet.others.get(ALONE + kind)
        rest = sheet.others.get(WITHOUT + kind if len(others) > 1 else ALONE + others[0])
        if alone is None or rest is None:
            continue
        gain = judge(sheet.measured, rest, primary, margin=settings.margin, **how).gain
        found.append(Modality(kind, columns, scores(alone, **how)[primary], gain))
    return tuple(found)


def sentences(evaluation: Evaluation, lang: Language | None = None) -> list[str]:
    """A sentence on what each modality adds."""
    return [_said(evaluation, one, lang or language()) for one in evaluation.modalities]


def view_modalities(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The rows of the report's table."""
    ends = [abs(end) for one in evaluation.modalities for end in (one.adds.low, one.adds.high)]
    reach = max([2 * evaluation.margin, *ends]) * 1.05
    return [_row(evaluation, one, reach) for one in evaluation.modalities]


def _row(evaluation: Evaluation, one: Modality, reach: float) -> dict[str, Any]:
    metric, adds = evaluation.primary, one.adds
    low, high = wording.signed(metric, adds.low), wording.signed(metric, adds.high)
    tone = "up" if adds.low > 0 else "down" if adds.high < 0 else ""
    return {
        "name": both(lambda lang: _name(one, lang)),
        "columns": ", ".join(one.columns[:8]) + (" …" if len(one.columns) > 8 else ""),
        "alone": said(metric, one.alone),
        "alone_range": interval(metric, one.alone),
        "bar": bar((adds.value, adds.low, adds.high), -reach, reach, zero=0.0),
        "adds": wording.signed(metric, adds.value),
        "adds_range": f"{low} … {high}",
        "tone": tone,
        "verdict": both(lambda lang: wording.fill(_verdict(evaluation, one), {}, lang)),
    }


def _name(one: Modality, lang: Language) -> str:
    return wording.fill(f"evaluation.modality_{one.name}", {}, lang)


def _verdict(evaluation: Evaluation, one: Modality) -> str:
    if one.adds.low > 0:
        return "evaluation.modality_keep"
    if one.adds.high <= evaluation.margin:
        return "evaluation.modality_drop"
    return "evaluation.modality_unsure"


def _said(evaluation: Evaluation, one: Modality, lang: Language) -> str:
    figures = {
        "what": _name(one, lang),
        "metric": evaluation.primary,
        "low": one.adds.low,
        "high": one.adds.high,
        "gain": one.adds.value,
    }
    joint = "" if lang == "zh" else " "
    said = wording.fill("evaluation.modality_adds", figures, lang)
    return said + joint + wording.fill(_verdict(evaluation, one), {}, lang)

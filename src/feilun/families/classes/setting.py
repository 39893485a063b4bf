"""The operating point of a variant, set on validation rows: the temperature, and the rule that
costs and abstention ask for."""

from __future__ import annotations

import numpy as np

from feilun.config import ProjectConfig
from feilun.errors import InvalidSettings
from feilun.families.classes.calibration import fit_temperature
from feilun.families.classes.point import Point
from feilun.families.classes.rule import Rule, best_threshold, cheapest, choose, cutoff_for
from feilun.messages import t
from feilun.metrics.probabilities import softmax

__all__ = ["set_point"]


def set_point(
    config: ProjectConfig, labels: tuple[str, ...], logits: np.ndarray, truth: np.ndarray
) -> tuple[Point, list[str]]:
    """The point that ``[evaluation.costs]`` and ``[serving]`` ask for, and what is to be said of
    it. `logits` and `truth` are the labelled validation rows', as the variant answers them.

    Raises `InvalidSettings` for costs of a label that the model does not know.
    """
    temperature = fit_temperature(logits, truth)
    costs, serving = config.evaluation.costs, config.serving
    label, threshold, notes = "", 0.5, []
    probabilities = softmax(logits, temperature)
    if costs.label:
        if costs.label not in labels:
            raise InvalidSettings(
                "verdict.unknown_label",
                setting="evaluation.costs.label",
                label=costs.label,
                options=labels,
            )
        label, threshold = costs.label, cheapest(costs.missed, costs.false_alarm)
        if len(truth):
            place = labels.index(label)
            threshold = best_threshold(
                probabilities[:, place], truth == place, costs.missed, costs.false_alarm
            )
        notes.append(t("verdict.threshold_set", label=label, threshold=f"{threshold:.3f}"))
    below = serving.abstain_below
    if serving.abstain_for is not None and len(truth):
        answers, sure = choose(probabilities, labels, Rule(label, threshold))
        below = cutoff_for(sure, answers == truth, serving.abstain_for)
        share = float((sure < below).mean())
        code = "verdict.abstain_never" if below >= 1.0 else "verdict.abstain_set"
        wanted = f"{100 * serving.abstain_for:g}"
        notes.append(t(code, below=f"{below:.3f}", part=f"{100 * share:.1f}", wanted=wanted))
        if share == 0:
            below = 0.0
    return Point(temperature, Rule(label, round(threshold, 6), round(below, 6))), notes

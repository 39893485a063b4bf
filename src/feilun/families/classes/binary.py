"""Two labels have two measures more, of how well the second is told from the first at any
threshold: average precision and the Kolmogorov-Smirnov distance."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from feilun.families.classes.classification import Classified
from feilun.metrics.scores import Score, percentiles

__all__ = ["Binary", "classified"]

_RANKED = ("average_precision", "ks")


def classified(truth: np.ndarray, probabilities: np.ndarray) -> Classified:
    """Probabilities (rows, labels) beside the true labels, with the metrics that so many labels
    have."""
    kind = Binary if np.ndim(probabilities) == 2 and probabilities.shape[1] == 2 else Classified
    return kind(truth, probabilities)


class Binary(Classified):
    """As `Classified`, for two labels.

    Average precision is the area under precision and recall of the second label, as steps. KS is
    the largest distance between the distributions of its probability among its own rows and the
    others'. Equal probabilities are one step. Neither is defined without rows of both labels.
    """

    higher_is_better: ClassVar = {
        **dict.fromkeys(("accuracy", "precision", "recall", "f1", "roc_auc"), True),
        **dict.fromkeys(_RANKED, True),
        "log_loss": False,
        "calibration_error": False,
    }

    def __init__(self, truth: np.ndarray, probabilities: np.ndarray) -> None:
        super().__init__(truth, probabilities)
        given = self.probabilities[:, 1]
        self.order = np.argsort(-given, kind="stable")
        ranked = given[self.order]
        self.ends = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))

    def replicates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """See `Measured`."""
        found = super().replicates(weights) | self._ranked(weights)
        return {name: found[name] for name in self.higher_is_better}

    def _ranked(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = np.asarray(weights, np.float64)[:, self.order]
        rows = np.cumsum(drawn, axis=1)[:, self.ends]
        found = np.cumsum(drawn * (self.truth[self.order] == 1), axis=1)[:, self.ends]
        others = rows - found
        with np.errstate(invalid="ignore", divide="ignore"):
            recall, alarms = found / found[:, -1:], others / others[:, -1:]
            steps = np.diff(recall, axis=1, prepend=0.0)
            precision = np.where(rows > 0, found / np.maximum(rows, 1), 0.0)
            area = (precision * steps).sum(axis=1)
            apart = np.abs(recall - alarms).max(axis=1)
        area[others[:, -1] == 0] = np.nan  # everything is right then, whatever the model says
        return {"average_precision": area, "ks": apart}

    def interval(self, metric: str, value: float, drawn: np.ndarray, confidence: float) -> Score:
        """The largest of many distances grows under resampling: the growth is taken back."""
        if metric not in _RANKED:
            return super().interval(metric, value, drawn, confidence)
        level = drawn + (value - np.nanmean(drawn))
        return percentiles(value, np.clip(level, 0, 1), confidence)

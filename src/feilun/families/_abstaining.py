"""How sure a version has to be to answer, where it may say that it does not know."""

from __future__ import annotations

import numpy as np

from feilun.config import ServingConfig

__all__ = ["threshold"]

_FEWEST = 10
_STRANGE = 0.05


def threshold(
    sure: np.ndarray, right: np.ndarray, serving: ServingConfig, unmeasured: float
) -> float:
    """The least certainty to answer with. ``abstain_below`` says it, or ``abstain_for`` wants so
    many of the answers right. Without either it lies where right answers less wrong ones are most,
    or lower where chance may explain the difference, and above the least sure twentieth of the
    rows: what is stranger than these is no question of this kind. `unmeasured` where there are
    fewer than ten rows. `sure` and `right` (rows,) are what a version said of validation rows."""
    if serving.abstain_below and serving.abstain_for is None:
        return float(serving.abstain_below)
    if len(sure) < _FEWEST:
        return unmeasured
    order = np.argsort(-sure, kind="stable")
    sure, right = sure[order], right[order]
    hits = np.cumsum(right)
    asked = np.arange(1, len(right) + 1)
    # One threshold cannot part rows that are equally sure.
    ends = np.flatnonzero(np.append(sure[1:] < sure[:-1], True))
    if serving.abstain_for is not None:
        enough = ends[hits[ends] >= serving.abstain_for * asked[ends]]
        place = int(enough[-1]) if len(enough) else int(ends[0])
        return round(float(sure[place]), 6)
    gain = 2 * hits[ends] - asked[ends]
    most = int(np.argmax(gain))
    # Each row between adds or takes 1, by chance as often the one as the other.
    further = np.sqrt(asked[ends[most:]] - asked[ends[most]])
    near = np.flatnonzero(gain[most:] > gain[most] - further)
    place = int(ends[most + (int(near[-1]) if len(near) else 0)])
    return round(max(float(sure[place]), float(np.quantile(sure, _STRANGE))), 6)

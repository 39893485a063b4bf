"""What gains the rows that will judge can tell, said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from feilun.evaluation.forecast import APART, least_gain
from feilun.evaluation.result import Evaluation
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.steps._folded import corrections, judging, kept_by
from feilun.pipeline.steps._judged import Judged
from feilun.render.wording import is_share, points
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion, ModelVersion
from feilun.tasks._questions import questions
from feilun.training import out_of_fold

__all__ = ["SCATTER", "scatter", "tells", "words"]

SCATTER = "scatter"
"""In a version's metrics: the mean squared difference of what two versions' answers to a row were
worth when it was judged."""


def scatter(found: Evaluation) -> float | None:
    """What `SCATTER` keeps, from the comparison that says most of the next one; None where there
    was none with another version."""
    other = next((one for one in found.comparisons if one.method != "majority"), None)
    if other is None:
        return None
    half = (other.known.high - other.known.low) / 2
    error = half / NormalDist().inv_cdf((1 + found.confidence) / 2)
    return error**2 * other.rows + other.known.value**2


def tells(
    context: Context, data: DataVersion, folded: Sequence[str], live: ModelVersion | None
) -> dict[str, Any] | None:
    """The smallest gains in the primary metric that `rows` test rows of `data` prove in eight of
    ten cases, and together with the `fold_rows` training rows that the methods `folded`, which will
    be trained, answer out of fold: where two of them are compared, or one with `live`. `apart` is
    the last `SCATTER`, or `assumed`. None where no row judges, and for a metric with a unit of its
    own until two versions were compared."""
    primary, family = context.task.primary, context.task.family
    apart, assumed = _apart(context, live), False
    if apart is None and is_share(primary):
        apart, assumed = APART, True
    if apart is None:
        return None
    dataset = context.dataset(data)
    judges = questions(Judged(dataset.folder))
    truth = family.truth(judges.values("label", "test"), judges.schema.labels)
    rows = int(family.known(truth).sum())
    if not rows:
        return None
    found: dict[str, Any] = {
        "metric": primary,
        "rows": rows,
        "gain": _least(context, rows, apart),
        "apart": apart,
        "assumed": assumed,
    }
    count = _folds(context, dataset, folded, live)
    if count:
        gain = _least(context, rows + count, apart)
        found |= {"fold_rows": count, "fold_gain": gain, "folded": list(folded)}
    return found


def words(found: dict[str, Any] | None) -> list[str]:
    """The same in sentences."""
    if found is None:
        return []
    told = {
        "rows": found["rows"],
        "gain": points(found["metric"], found["gain"], sign=False),
        "apart": f"{100 * found['apart']:.0f}",
    }
    lines = [t("pipeline.tells_assumed" if found["assumed"] else "pipeline.tells", **told)]
    if "fold_rows" in found:
        told["gain"] = points(found["metric"], found["fold_gain"], sign=False)
        told |= {"rows": found["fold_rows"], "methods": found["folded"]}
        lines.append(t("pipeline.tells_folds", **told))
    return lines


def _least(context: Context, rows: int, apart: float) -> float:
    confidence, shares = context.config.evaluation.confidence, is_share(context.task.primary)
    return least_gain(rows, apart, confidence, shares=shares)


def _apart(context: Context, live: ModelVersion | None) -> float | None:
    """As the live version was compared, or else the newest that was."""
    versions = context.store.catalog.model_versions(context.project)
    versions.sort(key=lambda one: (live is not None and one.id == live.id, one.created))
    primary = context.task.primary
    kept = (one.metrics for one in reversed(versions) if one.metrics.get("primary") == primary)
    return next((float(one[SCATTER]) for one in kept if one.get(SCATTER)), None)


def _folds(
    context: Context, dataset: Dataset, folded: Sequence[str], live: ModelVersion | None
) -> int:
    """Training rows on which two of the versions will be compared; 0 where no two are."""
    held = False
    if live is not None and kept_by(context, live) is not None:
        held = corrections(context.dataset(context.data_of(live))) == corrections(dataset)
    if not folded or (len(folded) < 2 and not held):
        return 0
    rows = len(judging(dataset))
    return rows if out_of_fold.fits(rows * max(1, len(dataset.schema.labels))) else 0

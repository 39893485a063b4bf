"""What the catalog knows of the test rows: how often they were asked, and when they came in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from feilun.evaluation.consultations import Consultations
from feilun.pipeline.context import Context
from feilun.store.dataset import Dataset
from feilun.store.records import DataVersion, ModelVersion

__all__ = ["JUDGED_AGAINST", "JUDGED_ON", "columns", "consultations", "months"]

JUDGED_AGAINST = "judged_against"
"""In a version's metrics: which version was live when it was judged."""
JUDGED_ON = "judged_on"
"""In a version's metrics: the data version whose test rows judged it. Where it is missing, those
that it was trained on did."""
_MOST = 0.5
"""Share of today's test rows that a version must have been judged on to count."""
_COLUMNS = ("source", "subject", "group")


def consultations(
    context: Context,
    model: ModelVersion,
    dataset: Dataset,
    live: str | None,
    since_best: Collection[str] = (),
) -> Consultations:
    """How many versions, `model` among them, were judged on most of the test rows, and how many of
    those against the version that is `live`; `since_best` are those that were live since the best
    one ever was, where that is another. Derived from the reports: the same weights judged again are
    no further question, and rows that came since are not yet asked."""
    catalog = context.store.catalog
    mine = set(dataset.row_ids("test"))
    overlap: dict[str, bool] = {}
    asked = {_weights(model)}
    tried, since = {_weights(model)}, {_weights(model)}
    for other in catalog.model_versions(context.project):
        if other.report is None or other.data_version is None or other.id == model.id:
            continue
        rows = str(other.metrics.get(JUDGED_ON) or other.data_version)
        if rows not in overlap:
            overlap[rows] = _most(context, rows, mine)
        if not overlap[rows]:
            continue
        asked.add(_weights(other))
        if live is not None and other.metrics.get(JUDGED_AGAINST) == live and other.id != live:
            tried.add(_weights(other))
        if other.metrics.get(JUDGED_AGAINST) in since_best:
            since.add(_weights(other))
    return Consultations(len(asked), len(tried), len(since) if since_best else None)


def _weights(model: ModelVersion) -> str:
    return model.weights or model.id


def _most(context: Context, version: str, rows: set[str]) -> bool:
    """Whether most of `rows` were test rows of that data version."""
    data = context.store.catalog.data_version(version)
    theirs = _test_rows(context, data)
    return sum(row in rows for row in theirs) >= _MOST * len(rows)


def _test_rows(context: Context, data: DataVersion) -> list[str]:
    # Ids alone are wanted, of many versions: hashing all their files each time would take long.
    return Dataset(context.store.artifacts.path(data.artifact, verify=False)).row_ids("test")


def months(context: Context, data: DataVersion, rows: Sequence[str]) -> list[str]:
    """The month, ``2026-11``, of the data version in which each of the test `rows` first came."""
    chain = [data]
    while chain[-1].parent is not None:
        chain.append(context.store.catalog.data_version(chain[-1].parent))
    came: dict[str, str] = {}
    for version in reversed(chain[1:]):
        month = f"{version.created:%Y-%m}"
        for row in _test_rows(context, version):
            came.setdefault(row, month)
    now = f"{data.created:%Y-%m}"
    return [came.get(row, now) for row in rows]


def columns(dataset: Dataset) -> dict[str, list[Any]]:
    """What else is known of each test row: its source, whose it is, its group."""
    return {name: dataset.values(name, "test") for name in _COLUMNS}

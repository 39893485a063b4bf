"""Which refused version deserves another look, now that new rows judge.

A version that few rows could not tell from the live one costs nothing more to judge again: it is
trained. What customers ask has often moved since, and the answers that were drawn from it at random
say which of the two follows.
"""

from __future__ import annotations

from typing import Any

from feilun.messages import t
from feilun.messages.sentences import to_kept
from feilun.pipeline.context import Context
from feilun.pipeline.steps._history import JUDGED_AGAINST, JUDGED_ON
from feilun.store.best import DECISIONS, GAIN
from feilun.store.records import DataVersion, ModelVersion
from feilun.types import Progress

__all__ = ["reconsider"]

_LEAST = 20
"""New test rows without which the answer would be the same."""


def reconsider(context: Context) -> dict[str, Any]:
    """The ``version``, None where there is none: of those that a gate refused beside the version
    that is live, the one that was expected to lose least, if `_LEAST` test rows have come since.
    ``rows`` counts these."""
    catalog = context.store.catalog
    live = catalog.live(catalog.project(context.project).endpoint)
    latest = catalog.latest_data(context.project)
    if live is None or latest is None:
        return {"version": None}
    refused = [
        (gain, model)
        for model in catalog.model_versions(context.project)
        if model.state == "refused" and model.artifact() is not None and not model.pruned
        for gain in _gain(model, live.version)
    ]
    if not refused:
        return {"version": None}
    best = max(refused, key=lambda one: (one[0], one[1].number))[1]
    rows = _come_since(context, str(best.metrics[JUDGED_ON]), latest)
    if rows < _LEAST:
        return {"version": None, "rows": rows}
    note = t("pipeline.judged_again", version=best.id, rows=rows)
    context.report(Progress("reconsider", 0, 0, note=note))
    notes = [to_kept(note)]
    return {"version": best.id, "method": best.method, "notes": notes, "rows": rows}


def _gain(model: ModelVersion, live: str) -> list[float]:
    """What `model` was expected to gain over `live` when the gate last refused it for that; none
    where something else spoke against it."""
    last = next(iter(model.metrics.get(DECISIONS, ())[-1:]), None)
    if last is None or last["promote"] or last.get(JUDGED_AGAINST) != live or GAIN not in last:
        return []
    return [float(last[GAIN])]


def _come_since(context: Context, then: str, latest: DataVersion) -> int:
    """Test rows of `latest` that the data version `then` did not have."""
    if then == latest.id:
        return 0
    before = context.dataset(context.store.catalog.data_version(then)).row_ids("test")
    return len(set(context.dataset(latest).row_ids("test")) - set(before))

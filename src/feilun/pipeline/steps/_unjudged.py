"""What becomes of a version that no row can judge, of a family whose answers show what they rest
on, or of a method that works without rows: the first one answers, and after it what the same method
makes of newer documents or rows."""

from __future__ import annotations

from typing import Any

from feilun.messages import in_each, language, t
from feilun.pipeline.context import Context
from feilun.pipeline.steps._history import JUDGED_ON
from feilun.store.records import REASON_IN, DataVersion, ModelVersion

__all__ = ["unjudged"]


def unjudged(context: Context, model: ModelVersion, data: DataVersion) -> dict[str, Any]:
    """The outcome of the step without a measurement: no report is written, and nothing is said of
    how good the version is."""
    catalog = context.store.catalog
    now = catalog.live(catalog.project(context.project).endpoint)
    live = catalog.model_version(now.version) if now is not None else None
    promote = live is None or live.method == model.method
    names = {"name": model.id, "other": live.id if live else "", "method": model.method}
    kind = "other" if not promote else "first" if live in (None, model) else "newer"
    what = "unjudged" if context.task.family.unjudged else "unrated"
    told = in_each(lambda: t(f"pipeline.{what}_{kind}", None, **names))
    said = told[language()]
    metrics = {**model.metrics, "primary": context.task.primary, "rows": 0, JUDGED_ON: data.id}
    catalog.update_model_version(model.id, metrics={**metrics, "test": {}, "validation": {}})
    if not promote and model.state == "candidate":
        refused = {**catalog.model_version(model.id).metrics, REASON_IN: told}
        catalog.update_model_version(model.id, state="refused", reason=said, metrics=refused)
    return {
        "report": None,
        "rows": 0,
        "data": data.id,
        "learned": 0,
        "selected": 0,
        "promote": promote,
        "verdict": "first" if live is None else "cannot_tell",
        "headline": said,
        "score": "",
        "paragraph": said,
        "founder": said,
        "reasons": [said],
        "reasons_in": {lang: [one] for lang, one in told.items()},
        "more_rows": None,
        "forgetting": None,
        "robustness": None,
    }

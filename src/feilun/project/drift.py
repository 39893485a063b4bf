"""A look at drift: the live version's rows and answers against what it was asked since."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from feilun.engines.base import open_engine
from feilun.feedback.alike import fingerprint, text_of
from feilun.feedback.drift import Drift, Side, measure
from feilun.feedback.drift.measure import LEAST, MOST
from feilun.feedback.novelty import Sketch, sketch
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.project.scope import Scope
from feilun.store.catalog import Catalog
from feilun.store.dataset import Dataset, is_media
from feilun.store.ledger_records import Prediction
from feilun.store.records import ModelVersion
from feilun.table import Result, Table, to_jsonable
from feilun.tasks import base as tasks
from feilun.types import Item

__all__ = ["DriftView", "due", "known_rows", "look", "noted", "sentence"]

_JUDGED = 1000
_KNOWN = 20_000
_FRESH = 0.25
"""Part of the answers looked at before that must be new for another look."""
_EXCERPT = 60


@dataclass(frozen=True)
class DriftView(Result):
    """The last look at the live version; `found` None where too little has been asked so far.
    `fresh` tells whether it was made now: without enough new answers nothing is looked at again."""

    project: str
    version: str | None
    found: Drift | None
    fresh: bool
    rows: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        found = None if self.found is None else self.found.to_json()
        return {
            "project": self.project,
            "version": self.version,
            "fresh": self.fresh,
            "alarm": self.found is not None and self.found.alarm,
            "found": to_jsonable(found),
            "rows": to_jsonable(self.rows),
        }

    def tables(self) -> Sequence[Table]:
        found = self.found
        if found is None:
            return (Table(t("drift.too_few", project=self.project, least=LEAST), (), ()),)
        columns = [
            t(f"drift.{name}") for name in ("signal", "then", "now", "size", "chance", "drifted")
        ]
        rows = [
            [
                t(f"drift.signal_{one.name}"),
                _figure(one.before),
                _figure(one.now),
                f"{one.value:.3f}"
                if one.low is None
                else f"{one.value:.3f} ({one.low:.3f}–{one.high:.3f})",
                f"{one.chance:.2g}",
                t("drift.yes") if one.alarm else t("drift.no"),
            ]
            for one in found.signals
        ]
        title = t(
            "drift.title",
            version=found.version,
            current=found.current,
            reference=found.reference,
            judged=found.judged,
        )
        notes = [sentence(found)]
        if found.not_kept:
            notes.append(t("drift.not_kept", rows=found.not_kept))
        notes.append(t("drift.risk", look=found.look, risk=f"{found.risk:.2g}"))
        tables = [Table(title, columns, rows, notes)]
        moved = sorted(found.shares.items(), key=lambda one: -abs(one[1][0] - one[1][1]))[:8]
        if any(one.alarm for one in found.signals if one.name == "answers"):
            heads = [t(f"drift.{name}") for name in ("label", "then", "now")]
            shares = [[label, f"{100 * a:.1f} %", f"{100 * b:.1f} %"] for label, (a, b) in moved]
            tables.append(Table("", heads, shares))
        if self.rows:
            heads = [t(f"drift.{name}") for name in ("input", "label", "shows")]
            shown = [[r["input"], str(r["label"]), f"{r['score']:.2f}"] for r in self.rows[:10]]
            tables.append(Table(t("drift.rows"), heads, shown))
        return tables


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def sentence(found: Drift) -> str:
    """The finding in one sentence."""
    signals = [t(f"drift.signal_{one.name}") for one in found.signals if one.alarm]
    if signals:
        return t("drift.alarm", version=found.version, signals=signals)
    return t("drift.calm", version=found.version, current=found.current)


def noted(catalog: Catalog, version: str | None) -> Drift | None:
    """The last look at this version, None before the first."""
    return None if version is None else _state(catalog, version)[1]


def due(context: Context, version: ModelVersion) -> bool:
    """Whether so much was answered since the last look that another one is worth its risk."""
    answered, _ = context.store.ledger.answered(context.project, version.id)
    before, _ = _state(context.store.catalog, version.id)
    seen = int(before.get("seen", 0))
    return answered - seen >= max(LEAST, int(_FRESH * min(seen, MOST)))


def look(scope: Scope) -> DriftView:
    """Looks at the live version where enough is new, else tells what was found before."""
    context = scope.context()
    live = scope.live()
    if live is None or live.data_version is None:
        return DriftView(scope.name, live.id if live else None, None, False, ())
    version = live
    before, found = _state(context.store.catalog, version.id)
    fresh = due(context, version)
    if fresh:
        answered, kept = context.store.ledger.answered(scope.name, version.id)
        number = int(before.get("looks", 0)) + 1
        new = _measured(context, version, number, answered - kept)
        if new is None:
            return DriftView(scope.name, version.id, found, False, _shown(context, found))
        found = new
        state = {"looks": number, "seen": answered, "found": found.to_json()}
        context.store.catalog.set_setting(_key(version.id), json.dumps(state))
    return DriftView(scope.name, version.id, found, fresh, _shown(context, found))


def _measured(context: Context, version: ModelVersion, number: int, not_kept: int) -> Drift | None:
    dataset = context.dataset(context.data_of(version))
    most = MOST if _media(dataset) else 5 * MOST
    rows = _distinct(
        context.store.ledger.recent_predictions(
            context.project, limit=most, model_version=version.id
        )
    )
    if len(rows) < LEAST:
        return None
    features = context.task.features(context.task_settings())
    train = known_rows(dataset)
    known = sketch(features, train)
    judged: list[Item] = []
    for split in ("test", "validation"):
        judged += list(dataset.items(split)[: _JUDGED - len(judged)])
    then = _answered(context, version, train, judged, known)
    stratum = context.task.family.stratum
    now = Side(
        [row.input for row in rows],
        [stratum(row.label) if row.label else "" for row in rows],
        np.array([row.score for row in rows if row.score is not None]),
        known.unseen([row.input for row in rows]),
    )
    return measure(
        features,
        then,
        now,
        version=version.id,
        places=[(row.prediction_id, row.index) for row in rows],
        not_kept=not_kept,
        look=number,
        seed=context.config.training.seed,
    )


def known_rows(dataset: Dataset) -> Sequence[Item]:
    """Up to 20,000 training rows, evenly taken: what more rows add to the n-grams that are known is
    little, and both sides of a comparison lack it. Of media 2,000, read when asked for."""
    media = _media(dataset)
    step = max(1, -(-dataset.size("train") // (MOST if media else _KNOWN)))
    if media:
        return dataset.items("train")[::step]
    asks = tasks.of(dataset.schema).family.asks
    asked = (one.item for one in dataset.examples("train") if not one.label or asks(one.label))
    return list(islice(asked, 0, None, step))


def _media(dataset: Dataset) -> bool:
    return any(is_media(kind) for kind in dataset.columns.values())


def _answered(
    context: Context,
    version: ModelVersion,
    train: Sequence[Item],
    judged: Sequence[Item],
    known: Sketch,
) -> Side:
    """The side of then: the training rows, and what the version answers to rows it never saw."""
    engine = open_engine(context.folder(version))
    try:
        outputs = engine.predict(judged) if judged else []
    finally:
        engine.close()
    family = context.task.family
    labels = [family.stratum(family.said(output)) for output in outputs]
    sure = [family.sure(output) for output in outputs]
    scores = np.array([float("nan") if one is None else one for one in sure], np.float64)
    return Side(train, labels, scores, known.unseen(judged))


def _distinct(rows: Sequence[Prediction]) -> list[Prediction]:
    """Each input once: a customer who asks the same every second is no drift."""
    seen: dict[str, Prediction] = {}
    for row in rows:
        seen.setdefault(fingerprint(row.input), row)
    return list(seen.values())


def _shown(context: Context, found: Drift | None) -> list[dict[str, Any]]:
    """The rows that show the drift, as far as their inputs are still kept."""
    shown = []
    for one in found.rows if found is not None else ():
        row = context.store.ledger.prediction(one.prediction_id, one.index)
        if row.stored and not row.purged:
            text = text_of(row.input) or t("project.bytes", count=len(str(row.input)))
            short = text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"
            shown.append({**asdict(one), "input": short, "label": row.label})
    return shown


def _state(catalog: Catalog, version: str) -> tuple[dict[str, Any], Drift | None]:
    raw = catalog.setting(_key(version))
    state: dict[str, Any] = json.loads(raw) if raw else {}
    return state, Drift.from_json(state["found"]) if state.get("found") else None


def _key(version: str) -> str:
    return f"drift:{version}"

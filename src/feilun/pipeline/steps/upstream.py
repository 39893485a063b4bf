"""A project whose calls are passed on to another server: learning from what that server said, and
answering the sure calls here.

What the other server said is the reference: its own answers are never asked for twice, because each
may cost money.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from feilun.compression.cascade import switch
from feilun.data.content import content_key, stored_key
from feilun.engines._levels import PASSED_ON, is_drawn, stages_of, write_cascade
from feilun.engines.base import Engine, open_engine
from feilun.engines.card import Card, read_card, write_card
from feilun.engines.cascade import ask_how_sure
from feilun.errors import NotFound
from feilun.families.base import Family
from feilun.feedback.kept import SOURCE, KeptCall, kept_calls
from feilun.feedback.to_data import content_hash
from feilun.pipeline.context import Context
from feilun.pipeline.steps._judged import spared
from feilun.store.dataset import INPUT, Dataset
from feilun.store.records import DataVersion, ModelVersion, Role
from feilun.types import Item, Output

__all__ = [
    "CASCADE",
    "Cascade",
    "answers_here",
    "calls_of",
    "cascade",
    "new_calls",
    "passes_on",
    "recall",
    "upstream_of",
]

CASCADE = "upstream"
"""The variant that answers sure calls here and passes the others on."""

_NEVER = 1.01
"""A threshold that nothing reaches."""


def upstream_of(context: Context, version: ModelVersion | None) -> Path | None:
    """The folder of the other server that `version` passes calls on to; None where it passes none
    on, or its artifacts are gone."""
    try:
        folder = context.folder(version) if version is not None else None
    except NotFound:
        return None
    if folder is None:
        return None
    *_, last = [folder, *stages_of(folder)]
    return last if _is_remote(read_card(last)) else None


def calls_of(context: Context) -> list[KeptCall]:
    """The kept calls that another server answered, one for each different input."""
    catalog, ledger = context.store.catalog, context.store.ledger
    passed = {
        version.id: judge
        for version in catalog.model_versions(context.project)
        if (judge := _judge(context, version)) is not None
    }
    if not passed:
        return []
    rows = ledger.recent_predictions(context.project, limit=None)
    rejected = ledger.rejected_answers(context.project)
    return kept_calls((one for one in rows if one.place not in rejected), passed)


def new_calls(context: Context, data: DataVersion | None) -> list[KeptCall]:
    """Those of them that no row of `data` is made of, by their content or, where rows were masked
    since, by their ids."""
    calls = calls_of(context)
    if data is None or not calls:
        return calls
    dataset = context.dataset(data)
    kinds = list(dataset.columns.items())
    wanted = {content_key(one.example.item) for one in calls}
    known: set[bytes | str] = set()
    for batch in dataset.batches(["row_id", *(INPUT + name for name, _ in kinds)]):
        held = [column.to_pylist() for column in batch.columns]
        for row_id, *values in zip(*held, strict=True):
            key = stored_key(kinds, values)
            known.add(row_id)
            if key in wanted:
                known.add(key)
    return [
        one
        for one in calls
        if one.example.row_id not in known and content_key(one.example.item) not in known
    ]


def _judge(context: Context, version: ModelVersion) -> Callable[[Item, Output], bool | None] | None:
    """Says of an answer of `version` whether its input was drawn; None: it was answered here."""
    try:
        card = read_card(context.folder(version))
    except NotFound:
        return None
    if _is_remote(card):
        return lambda item, output: True
    if upstream_of(context, version) is None:
        return None
    share = float(card.extra.get("drawn", 0.0))
    return lambda item, output: is_drawn(item, share) if output.get(PASSED_ON) else None


def _is_remote(card: Card) -> bool:
    return card.format == "upstream"


def recall(context: Context, engine: Engine, dataset: Dataset) -> None:
    """Where `engine` passes on to another server, gives it what that server said of the rows of
    `dataset` already, so that nothing is asked, and paid, again."""
    if not engine.info.get("remote"):
        return
    rows = (one for one in dataset.examples() if one.source == SOURCE)
    known = {content_hash(one.item): one.label for one in rows}
    known |= {content_hash(one.example.item): one.example.label for one in calls_of(context)}
    remembering: Any = engine
    remembering.remember(lambda item: known.get(content_hash(item)))


@dataclass(frozen=True, slots=True)
class Cascade:
    """A threshold and what it does on the `rows` validation rows: the `share` that is answered
    here, and what the primary metric loses by it."""

    threshold: float
    share: float
    loss: float
    rows: int

    def to_json(self) -> dict[str, Any]:
        """Beside the figures of the variant that answers here."""
        return {
            "threshold": self.threshold,
            "answered_here": self.share,
            "cascade_loss": self.loss,
            "cascade_rows": self.rows,
        }


def cascade(context: Context, own: Path, upstream: Path, dataset: Dataset, out: Path) -> Cascade:
    """Writes into `out` what answers by `own` where it is sure, and by `upstream` else. It answers
    as many of the validation rows as it can while the primary metric loses no more than
    ``compression.max_loss`` against what the other server said of them."""
    with TemporaryDirectory() as scratch:
        # Both have the labels that the rows have; the other server may name further ones.
        there = Path(scratch) / "upstream"
        shutil.copytree(upstream, there)
        write_card(there, replace(read_card(upstream), schema=read_card(own).schema))
        found = _threshold(context, own, there, dataset)
        write_cascade(
            out,
            [("own", own), ("upstream", there)],
            [found.threshold],
            drawn=context.config.upstream.audit,
        )
    return found


def _threshold(context: Context, own: Path, upstream: Path, dataset: Dataset) -> Cascade:
    family, primary = context.task.family, context.task.primary
    items = dataset.items("validation")
    truth = family.truth(dataset.values("label", "validation"), dataset.schema.labels)
    known = np.flatnonzero(family.known(truth))
    with closing(open_engine(own)) as here, closing(open_engine(upstream)) as there:
        ask_how_sure(here)
        known = known[spared(here, len(known))]
        if not len(known):
            return Cascade(_NEVER, 0.0, 0.0, 0)
        recall(context, there, dataset)
        asked = [items[place] for place in known.tolist()]
        raw, sure = _said(family, here, asked)
        other = family.settled(there.raw(asked), there.card.schema, there.card.point)
        labels = here.card.schema.labels
    allowed = context.config.compression.max_loss
    # Proven it is by the gate, on the test rows.
    rows = truth[known]
    found = switch(family, primary, rows, labels, sure, raw, other, allowed, proven=False)
    if found is None:
        return Cascade(_NEVER, 0.0, 0.0, len(known))
    return Cascade(found.threshold, found.share, max(0.0, found.loss.value), len(known))


def _said(family: Family, engine: Engine, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Raw outputs at the neutral point, and how sure each answer is; -inf where it is none."""
    card = engine.card
    raw = engine.raw(items)
    outputs = family.decoder(card.schema, card.point)(raw, False)
    found = [None if "abstained" in one else family.sure(one) for one in outputs]
    sure = np.array([-np.inf if one is None else one for one in found])
    return family.settled(raw, card.schema, card.point), sure


def first_step(context: Context, version: ModelVersion) -> tuple[Role, float] | None:
    """Where `version` stands at first, by ``upstream.steps``, where all calls are passed on now and
    it would answer some; None for the live place."""
    live = context.store.catalog.live(context.store.catalog.project(context.project).endpoint)
    now = context.store.catalog.model_version(live.version) if live is not None else None
    if now is None or upstream_of(context, now) != context.folder(now):
        return None
    if upstream_of(context, version) is None:
        return None
    return placed(context.config.upstream.steps[0])


def placed(step: int) -> tuple[Role, float] | None:
    """What a version is deployed as at a `step`, in percent of the calls; None for the live
    place."""
    if step == 100:
        return None
    return ("canary", step / 100) if step else ("shadow", 1.0)


def passes_on(context: Context, version: ModelVersion | None) -> bool:
    """Whether `version` passes calls on to another server."""
    return upstream_of(context, version) is not None


def answers_here(engine: Engine, items: Sequence[Item]) -> float | None:
    """The share of `items` that a cascade answers itself; None for what is none, or passes nothing
    on to another server."""
    passes = getattr(engine, "passes", None)
    if passes is None or not engine.info.get("remote") or not len(items):
        return None
    return 1.0 - float(passes(items).mean())

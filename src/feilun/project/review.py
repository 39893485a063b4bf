"""Walks the answers that are most worth a person's look, and settles what was held back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from feilun.errors import NotFound
from feilun.feedback.collect import accept
from feilun.feedback.novelty import sketch
from feilun.feedback.queue import abstained, audit_draw, review_queue, weave
from feilun.feedback.sift import Held, Sifted
from feilun.feedback.words import suspicion
from feilun.messages import t
from feilun.pipeline.context import Context
from feilun.pipeline.sifting import sifted, told
from feilun.project.drift import known_rows, noted
from feilun.project.scope import Scope
from feilun.store import Store
from feilun.store.ledger_records import Asked, Prediction
from feilun.table import Result, Table

__all__ = ["ReviewItem", "Settled", "review", "settle"]

Why = Literal["held", "drifted", "abstained", "doubtful", "audit"]

_RECENT = 10_000
_HELD_OF_KEY = 10
"""Labels of one suspected key that are shown: enough to judge the key by."""
_DRIFTED = 20


@dataclass(frozen=True)
class ReviewItem:
    """One answer in the queue: the input, what was answered, why it is there (``held`` back from
    learning, ``drifted``, ``abstained``, ``doubtful``, or drawn at random for the ``audit``) and,
    for the first two, a sentence on it. `said` is the label that was held back."""

    prediction: Prediction
    why: Why
    note: str
    said: str | None
    _store: Store
    _asked: Asked = "review"
    _added: list[str] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, int]:
        """Which answer of which call."""
        return self.prediction.prediction_id, self.prediction.index

    def label(self, label: Any) -> None:
        """Says what the right answer is, as a reviewer; the answer's own label confirms it. Raises
        `Gone` when the input is no longer kept, `InvalidData` for what cannot be a label."""
        row, store = self.prediction, self._store
        known = {one.id for one in store.ledger.feedback_of(row.prediction_id, row.index)}
        said = accept(
            store.catalog,
            store.ledger,
            row.prediction_id,
            row.index,
            label,
            source="reviewer",
            asked=self._asked,
        )
        if said.id not in known:
            self._added.append(said.id)

    def undo(self) -> bool:
        """Takes back what `label` said last; False where there is nothing, or where an update has
        learned it meanwhile."""
        return bool(self._added) and self._store.ledger.take_back(self._added.pop())


def review(scope: Scope, limit: int, *, drawn_only: bool = False) -> Iterator[ReviewItem]:
    """At most `limit` answers: corrections that were held back, rows that show a drift best, then
    the doubtful ones, between which a share (`feedback.audit`) is drawn from all that the live
    version answered. With `drawn_only` all are drawn: labels of these alone judge what comes."""
    context = scope.context()
    store = context.store
    live = scope.live()
    ranked = [] if drawn_only else _ranked(context, limit)
    share = 1.0 if drawn_only else context.config.feedback.audit
    drawn = _drawn(context, live.id, share, len(ranked), limit) if live else []
    lots = {(row.prediction_id, row.index) for row in drawn}
    seen: set[tuple[str, int]] = set()
    queue = _queue(context, weave(ranked, drawn, limit), lots)
    if not drawn_only:
        queue = chain(_held(context), _drifted(context, live.id if live else None), queue)
    for item in queue:
        place = (item.prediction.prediction_id, item.prediction.index)
        if place in seen:
            continue
        seen.add(place)
        asked: Asked = "audit" if place in lots else "review"
        yield ReviewItem(item.prediction, item.why, item.note, item.said, store, asked)
        if len(seen) == limit:
            return


def _held(context: Context) -> Iterator[ReviewItem]:
    found = _sifted(context)
    if found is None:
        return
    words = [suspicion(one) for one in told(context, found)["suspects"]]
    shown: Counter[object] = Counter()
    for held in found.held:
        shown[held.suspect] += 1
        if held.suspect is not None and shown[held.suspect] > _HELD_OF_KEY:
            continue
        if held.suspect is not None:
            note = words[found.suspects.index(held.suspect)]
        elif held.reason == "row":
            note = t("review.row", said=held.said.feedback.label, against=held.against)
        else:
            note = t("review.conflict", said=held.said.feedback.label, against=held.against)
        said = held.said.feedback.label
        yield ReviewItem(held.said.prediction, "held", note, said, context.store)


def _drifted(context: Context, version: str | None) -> Iterator[ReviewItem]:
    found = noted(context.store.catalog, version)
    if found is None or not found.alarm or context.config.update.on_drift == "none":
        return
    ledger = context.store.ledger
    for row in found.rows[:_DRIFTED]:
        try:
            prediction = ledger.prediction(row.prediction_id, row.index)
        except NotFound:
            continue
        labelled = ledger.feedback_of(row.prediction_id, row.index)
        if prediction.stored and not prediction.purged and not labelled:
            yield ReviewItem(prediction, "drifted", t("review.drifted"), None, context.store)


def _drawn(
    context: Context, version: str, share: float, ranked: int, limit: int
) -> list[Prediction]:
    """So many of the version's answers, drawn at random, that they are their `share` of a queue of
    at most `limit` in which `ranked` others stand.

    Answers from before the last data version of corrections are out of the draw: the corrected ones
    among them train now and can judge no more, so what is left is right more often than it was.
    """
    count = limit if share >= 1 else min(ranked * share / (1 - share), limit * share)
    ledger = context.store.ledger
    versions = context.store.catalog.data_versions(context.project)
    learned = [one.created for one in versions if one.reason == "feedback"]
    answered = ledger.recent_predictions(context.project, limit=_RECENT, model_version=version)
    if learned:
        since = max(learned)
        answered = [one for one in answered if one.created is not None and one.created > since]
    return audit_draw(answered, math.ceil(count), ledger.audited_answers(context.project))


def _ranked(context: Context, limit: int) -> list[Prediction]:
    rows = context.store.ledger.recent_predictions(
        context.project, limit=_RECENT, unlabelled_only=True
    )
    data = context.store.catalog.latest_data(context.project)
    novelty = None
    if data is not None and rows:
        features = context.task.features(context.task_settings())
        novelty = sketch(features, known_rows(context.dataset(data))).unseen
    return review_queue(rows, limit, novelty=novelty)


def _queue(
    context: Context, rows: list[Prediction], lots: set[tuple[str, int]]
) -> Iterator[ReviewItem]:
    for row in rows:
        why: Why = "audit" if (row.prediction_id, row.index) in lots else "doubtful"
        if abstained(row):
            why = "abstained"
        yield ReviewItem(row, why, "", None, context.store)


def _sifted(context: Context) -> Sifted | None:
    data = context.store.catalog.latest_data(context.project)
    return None if data is None else sifted(context, data)


@dataclass(frozen=True)
class Settled(Result):
    """What became of one customer's corrections that were held back."""

    customer: str
    rows: int
    accepted: bool

    def tables(self) -> tuple[Table, ...]:
        key = "review.accepted" if self.accepted else "review.discarded"
        return (Table(t(key, rows=self.rows, customer=self.customer), (), ()),)


def settle(scope: Scope, who: str, accepted: bool) -> Settled:
    """Settles all held corrections of the customer of this name or of the key with this visible
    beginning: as the operator's own word, or never to be learned. Raises `NotFound` when nobody of
    that name has any."""
    context = scope.context()
    catalog, ledger = context.store.catalog, context.store.ledger
    found = _sifted(context)
    held = found.held if found is not None else ()
    customers = {one.id: one.name for one in catalog.customers()}
    keys = {one.id: one.prefix for one in catalog.keys(None)}

    def names(one: Held) -> set[str]:
        key = one.said.feedback.key_id or one.said.prediction.key_id or ""
        customer = one.said.prediction.customer or ""
        return {customers.get(customer, customer), keys.get(key, "")}

    mine = [one for one in held if who in names(one)]
    if not mine:
        options = sorted({name for one in held for name in names(one) if name}) or "-"
        raise NotFound("review.nobody_held", who=who, options=options)
    for one in mine:
        row = one.said.prediction
        if accepted:
            ledger.add_feedback(
                row.prediction_id, row.index, one.said.feedback.label, source="operator"
            )
    if not accepted:
        ledger.mark_used([one.said.feedback.id for one in mine], "discarded")
    return Settled(who, len(mine), accepted)

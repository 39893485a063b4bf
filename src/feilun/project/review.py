"""Walks the answers that are most worth a person's look, and settles what was held back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, Literal

from feilun.errors import NotFound
from feilun.feedback.collect import remark, take
from feilun.feedback.novelty import sketch
from feilun.feedback.queue import abstained, audit_draw, review_queue, weave
from feilun.feedback.triage import Held, Triaged
from feilun.feedback.words import suspicion
from feilun.messages import Language, t
from feilun.pipeline.context import Context
from feilun.pipeline.triage import told, triaged
from feilun.project.drift import known_rows, noted
from feilun.project.scope import Scope
from feilun.store import Store
from feilun.store.catalog import Catalog
from feilun.store.ledger import Ledger
from feilun.store.ledger_records import Asked, Feedback, Prediction, Remark
from feilun.table import Result, Table
from feilun.tasks.base import get as get_task
from feilun.types import Item

__all__ = ["ReviewItem", "Settled", "review", "settle"]

Why = Literal["held", "rejected", "drifted", "abstained", "doubtful", "audit"]

Note = Callable[[Language | None], str]
"""A sentence in any language."""

_RECENT = 10_000
_HELD_OF_KEY = 10
"""Labels of one suspected key that are shown: enough to judge the key by."""
_DRIFTED = 20
_REJECTED_OF_CUSTOMER = 20
_REJECTED_READ = 2_000


@dataclass(frozen=True)
class ReviewItem:
    """One answer in the queue: the input, what was answered, why it is there (``held`` back from
    learning, ``rejected`` by a customer who did not say what would be right, ``drifted``,
    ``abstained``, ``doubtful``, or drawn at random for the ``audit``) and, for the first three, a
    sentence on it. `said` is the label that was held back. It may be rejected for one of the
    `faults`."""

    prediction: Prediction
    why: Why
    said: str | None
    faults: tuple[str, ...]
    _store: Store
    _note: Note | None = None
    _asked: Asked = "review"
    _added: list[list[Feedback | Remark]] = field(default_factory=list)

    def shown(self, lang: Language | None = None) -> Item:
        """The input as people read it, in `lang` (default: the one in force)."""
        row = self.prediction
        task = get_task(self._store.catalog.project(row.project).task)
        return row.input if row.input is None else task.readable(row.input, lang)

    @property
    def note(self) -> str:
        """The sentence on it, in the language in force; "" where there is none."""
        return self.told()

    def told(self, lang: Language | None = None) -> str:
        """The sentence on it in `lang`."""
        return self._note(lang) if self._note is not None else ""

    @property
    def place(self) -> tuple[str, int]:
        """Which answer of which call."""
        return self.prediction.place

    def label(self, label: Any, note: str = "") -> None:
        """Says what the right answer is, as a reviewer, and keeps a `note` on it; the answer's own
        label confirms it. Raises `Gone` when the input is no longer kept, `InvalidData` for what
        cannot be a label."""
        who: Any = {"source": "reviewer", "asked": self._asked}
        self._say(lambda: take(*self._where, label, note=note, **who))

    def reject(self, reason: str, label: Any = None, note: str = "") -> None:
        """Rejects the answer for one of the `faults`, and says in `label` what would be right,
        where that is known. Raises as `label` does, and `InvalidData` for another reason."""
        who: Any = {"source": "reviewer", "asked": self._asked}
        self._say(lambda: take(*self._where, label, rejected=reason, note=note, **who))

    def remark(self, note: str) -> None:
        """Keeps a note on the answer, as long as its input is kept."""
        self._say(lambda: (remark(*self._where, note=note, source="reviewer"),))

    def undo(self) -> bool:
        """Takes back what was said last; False where there is nothing, or where an update has
        learned it meanwhile."""
        ledger = self._store.ledger
        gone = [
            ledger.take_back(one.id)
            if isinstance(one, Feedback)
            else ledger.take_back_remark(one.id)
            for one in (self._added.pop() if self._added else ())
        ]
        return bool(gone) and all(gone)

    @property
    def _where(self) -> tuple[Catalog, Ledger, str, int]:
        return self._store.catalog, self._store.ledger, *self.place

    def _say(self, say: Callable[[], Iterable[Feedback | Remark | None]]) -> None:
        """Remembers for `undo` what is new of it."""
        ledger = self._store.ledger
        known = {one.id for one in ledger.feedback_of(*self.place)}
        known |= {one.id for one in ledger.remarks_of(*self.place)}
        added = [one for one in say() if one is not None and one.id not in known]
        if added:
            self._added.append(added)


def review(scope: Scope, limit: int, *, drawn_only: bool = False) -> Iterator[ReviewItem]:
    """At most `limit` answers: corrections that were held back, what customers rejected, rows that
    show a drift best, then the doubtful ones, between which a share (`feedback.audit`) is drawn
    from all that the live version answered. With `drawn_only` all are drawn: labels of these alone
    judge what comes."""
    context = scope.context()
    live = scope.live()
    ranked = [] if drawn_only else _ranked(context, limit)
    share = 1.0 if drawn_only else context.config.feedback.audit
    drawn = _drawn(context, live.id, share, len(ranked), limit) if live else []
    lots = {(row.prediction_id, row.index) for row in drawn}
    seen: set[tuple[str, int]] = set()
    queue = _queue(context, weave(ranked, drawn, limit), lots)
    if not drawn_only:
        drifted = _drifted(context, live.id if live else None)
        queue = chain(_held(context), _rejected(context, limit), drifted, queue)
    for item in queue:
        place = item.place
        if place in seen:
            continue
        seen.add(place)
        asked: Asked = "audit" if place in lots else "review"
        yield replace(item, _asked=asked)
        if len(seen) == limit:
            return


def _held(context: Context) -> Iterator[ReviewItem]:
    found = _sifted(context)
    if found is None:
        return
    suspects = told(context, found)["suspects"]
    shown: Counter[object] = Counter()
    for held in found.held:
        shown[held.suspect] += 1
        if held.suspect is not None and shown[held.suspect] > _HELD_OF_KEY:
            continue
        said = held.said.feedback.label
        if held.suspect is not None:
            note: Note = partial(suspicion, suspects[found.suspects.index(held.suspect)])
        else:
            key = "review.row" if held.reason == "row" else "review.conflict"
            note = partial(t, key, said=said, against=held.against)
        yield _item(context, held.said.prediction, "held", note, said)


def _rejected(context: Context, limit: int) -> Iterator[ReviewItem]:
    """What customers rejected and nobody has put right; a part of them where one customer rejects
    very many, so that nobody can fill the queue."""
    found = context.store.ledger.rejections_to_answer(context.project, _REJECTED_READ)
    shown: Counter[str | None] = Counter()
    for said, prediction in found:
        shown[said.customer] += 1
        if shown[said.customer] > _REJECTED_OF_CUSTOMER or shown.total() > limit:
            continue
        yield _item(context, prediction, "rejected", partial(_rejection, said))


def _rejection(said: Remark, lang: Language | None) -> str:
    reason = t(f"feedback.fault_{said.reason}", lang)
    key = "review.rejected_noted" if said.note else "review.rejected"
    return t(key, lang, reason=reason, note=said.note)


def _item(
    context: Context,
    prediction: Prediction,
    why: Why,
    note: Note | None = None,
    said: str | None = None,
) -> ReviewItem:
    return ReviewItem(prediction, why, said, context.task.family.faults, context.store, note)


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
            yield _item(context, prediction, "drifted", partial(t, "review.drifted"))


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
    places = ledger.recent_places(
        context.project, since=max(learned, default=None), limit=_RECENT, model_version=version
    )
    drawn = audit_draw(places, math.ceil(count), ledger.audited_answers(context.project))
    return [row for row in (ledger.prediction(*place) for place in drawn) if not row.purged]


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
        yield _item(context, row, why)


def _sifted(context: Context) -> Triaged | None:
    data = context.store.catalog.latest_data(context.project)
    return None if data is None else triaged(context, data)


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

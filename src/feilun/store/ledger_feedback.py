"""The ledger's feedback: what people say the right answers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    Row,
    Select,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from feilun.errors import Forbidden, Gone, NotFound
from feilun.store import tables_ledger as t
from feilun.store.columns import now
from feilun.store.ids import new_id
from feilun.store.ledger_predictions import PredictionLog
from feilun.store.ledger_records import Asked, Feedback, FeedbackSource, LabelledPrediction

__all__ = ["FeedbackLog", "answer_of", "is_gone", "trust", "winners"]

_FIELDS = (
    "id",
    "prediction_id",
    "index",
    "label",
    "source",
    "customer",
    "created",
    "used_in",
    "key_id",
    "asked",
)


class FeedbackLog(PredictionLog):
    """Adding and reading feedback."""

    def add_feedback(
        self,
        prediction_id: str,
        index: int,
        label: str,
        *,
        source: FeedbackSource,
        customer: str | None = None,
        key_id: str | None = None,
        asked: Asked | None = None,
    ) -> Feedback:
        """Says that `label` is the right answer to input `index` of the call.

        The last word of each source counts; saying the same again adds nothing, but for an answer
        that was now `asked` for the audit. Raises `NotFound`
        for an unknown answer, `Forbidden` when `source` is ``customer`` and the answer went to
        another one, `Gone` when its input was never stored or is no longer.
        """
        said = t.feedback.c
        with self._db.write() as connection:
            answer = answer_of(connection, prediction_id, index, source, customer)
            if not answer.stored:
                raise Gone("store.input_not_stored", id=prediction_id, index=index)
            if is_gone(answer):
                raise Gone("store.input_gone", id=prediction_id, index=index)
            last = connection.execute(
                select(*(said[name] for name in _FIELDS))
                .where(
                    said.prediction_id == prediction_id, said.index == index, said.source == source
                )
                .order_by(said.id.desc())
                .limit(1)
            ).first()
            if last is not None and last.label == label and asked in (None, last.asked):
                return Feedback(**last._mapping)
            row: dict[str, Any] = {
                "id": new_id("fb_"),
                "prediction_id": prediction_id,
                "index": index,
                "label": label,
                "source": source,
                "customer": customer,
                "created": now(),
                "used_in": None,
                "key_id": key_id,
                "asked": asked,
            }
            connection.execute(insert(t.feedback).values(**row, project=answer.project))
        return Feedback(**row)

    def take_back(self, id: str) -> bool:
        """Removes a word that nothing has learned from yet; the one before it, if there is one,
        counts again. Whether there was anything to remove."""
        said = t.feedback.c
        with self._db.write() as connection:
            query = delete(t.feedback).where(said.id == id, said.used_in.is_(None))
            return bool(connection.execute(query).rowcount)

    def feedback(
        self,
        project: str,
        *,
        unused_only: bool = False,
        usable_only: bool = True,
        model_version: str | None = None,
    ) -> Iterator[LabelledPrediction]:
        """The feedback that counts, one for each answer, oldest first, streamed.

        The operator's last word goes before a reviewer's, and that before the customer's.
        `unused_only`
        leaves out what a data version has learned already, `usable_only` answers whose input is no
        longer kept, `model_version` answers of other versions.
        """
        winner = winners(project).subquery()
        p = t.predictions.c
        query = (
            select(winner, t.predictions)
            .join(
                t.predictions,
                (p.prediction_id == winner.c.prediction_id) & (p.index == winner.c.index),
            )
            .where(winner.c.place == 1)
            .order_by(winner.c.id)
        )
        if unused_only:
            query = query.where(winner.c.used_in.is_(None))
        if usable_only:
            query = query.where(p.stored, ~p.purged, p.expires.is_(None) | (p.expires > now()))
        if model_version is not None:
            query = query.where(p.model_version == model_version)
        # Closed by name: who stops reading early leaves no cursor behind.
        with (
            self._db.read() as connection,
            connection.execution_options(yield_per=500).execute(query) as rows,
        ):
            for row in rows:
                prediction = self._prediction(row)
                if prediction.purged and usable_only:
                    continue
                values = row._mapping
                said = Feedback(**{name: values[winner.c[name]] for name in _FIELDS})
                yield LabelledPrediction(said, prediction)

    def feedback_of(self, prediction_id: str, index: int = 0) -> list[Feedback]:
        """Everything that was said of one answer, oldest first."""
        c = t.feedback.c
        query = (
            select(*(c[name] for name in _FIELDS))
            .where(c.prediction_id == prediction_id, c.index == index)
            .order_by(c.id)
        )
        with self._db.read() as connection:
            return [Feedback(**row._mapping) for row in connection.execute(query)]

    def mark_used(self, ids: Sequence[str], data_version: str | None) -> None:
        """Notes that the data version has learned these pieces of feedback; with None, that they
        wait again."""
        c = t.feedback.c
        with self._db.write() as connection:
            for start in range(0, len(ids), 500):
                connection.execute(
                    update(t.feedback)
                    .where(c.id.in_(ids[start : start + 500]))
                    .values(used_in=data_version)
                )

    def waiting(self, project: str | None = None) -> int:
        """How much feedback counts, is usable, and no data version has learned yet."""
        winner = winners(project).subquery()
        p = t.predictions.c
        query = (
            select(func.count())
            .select_from(winner)
            .join(
                t.predictions,
                (p.prediction_id == winner.c.prediction_id) & (p.index == winner.c.index),
            )
            .where(
                winner.c.place == 1,
                winner.c.used_in.is_(None),
                p.stored,
                ~p.purged,
                p.expires.is_(None) | (p.expires > now()),
            )
        )
        with self._db.read() as connection:
            return connection.scalar(query) or 0


def answer_of(
    connection: Connection,
    prediction_id: str,
    index: int,
    source: FeedbackSource,
    customer: str | None,
) -> Row[Any]:
    """The row of an answer that `source` may speak of; nobody else speaks of it until this is
    written, so that a word that is sent to two servers is one. Raises `NotFound`, and `Forbidden`
    where a customer speaks of another one's."""
    c = t.predictions.c
    query = select(t.predictions).where(c.prediction_id == prediction_id, c.index == index)
    query = query.with_for_update()  # SQLite has one writer anyway
    answer = connection.execute(query).first()
    if answer is None:
        raise NotFound("store.no_prediction", id=prediction_id, index=index)
    if source == "customer" and (customer is None or answer.customer != customer):
        raise Forbidden("store.not_your_prediction", id=prediction_id)
    return answer


def is_gone(answer: Row[Any]) -> bool:
    """Whether the input of the answer is no longer kept."""
    return bool(answer.purged or (answer.expires is not None and answer.expires <= now()))


def trust(source: ColumnElement[str]) -> ColumnElement[int]:
    """0 for the operator, whose word goes before all others, 1 for a reviewer, 2 for a customer."""
    return case((source == "operator", 0), (source == "reviewer", 1), else_=2)


def winners(project: str | None) -> Select[Any]:
    """All feedback with its `place` among what was said of the same answer; 1 counts. That an
    answer is right is not among it where somebody as much trusted has rejected it since, or
    somebody trusted more ever has."""
    c = t.feedback.c
    place = func.row_number().over(
        partition_by=(c.prediction_id, c.index), order_by=(trust(c.source), c.id.desc())
    )
    query = select(*(c[name] for name in _FIELDS), place.label("place")).where(~_overruled())
    return query if project is None else query.where(c.project == project)


def _overruled() -> Exists:
    c, r, p = t.feedback.c, t.remarks.c, t.predictions.c
    later = (trust(r.source) == trust(c.source)) & (r.created > c.created)
    return exists().where(
        r.prediction_id == c.prediction_id,
        r.index == c.index,
        r.reason.is_not(None),
        (trust(r.source) < trust(c.source)) | later,
        p.prediction_id == c.prediction_id,
        p.index == c.index,
        p.label == c.label,
    )

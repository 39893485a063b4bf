"""The ledger's remarks: which answers people reject and why, and their notes.

A rejection says that an answer is wrong, not what would be right: it joins no data version. It
outweighs that the answer was called right (`ledger_feedback.winners`), and it is counted.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    Subquery,
    case,
    delete,
    func,
    insert,
    select,
    union,
)

from feilun.store import tables_ledger as t
from feilun.store.columns import now
from feilun.store.ids import new_id
from feilun.store.ledger_feedback import FeedbackLog, answer_of, is_gone, trust, winners
from feilun.store.ledger_records import Asked, FeedbackSource, Prediction, Remark, Reviewed

__all__ = ["RemarkLog", "drawn"]

_FIELDS = tuple(Remark.__dataclass_fields__)


class RemarkLog(FeedbackLog):
    """Adding and reading remarks."""

    def add_remark(
        self,
        prediction_id: str,
        index: int,
        *,
        source: FeedbackSource,
        reason: str | None = None,
        note: str = "",
        customer: str | None = None,
        key_id: str | None = None,
        asked: Asked | None = None,
    ) -> Remark:
        """Rejects an answer for a `reason`, or notes something about it. The note is kept as long
        as the input is; of an answer without its input the reason alone is. Saying the same again
        adds nothing. Raises `NotFound`, and `Forbidden` where a customer speaks of another one's
        answer."""
        r = t.remarks.c
        with self._db.write() as connection:
            answer = answer_of(connection, prediction_id, index, source, customer)
            if not answer.stored or is_gone(answer):
                note = ""
            last = connection.execute(
                select(*(r[name] for name in _FIELDS))
                .where(r.prediction_id == prediction_id, r.index == index, r.source == source)
                .order_by(r.id.desc())
                .limit(1)
            ).first()
            same = last is not None and (last.reason, last.note) == (reason, note)
            if last is not None and same and asked in (None, last.asked):
                return Remark(**last._mapping)
            row: dict[str, Any] = {
                "id": new_id("rm_"),
                "prediction_id": prediction_id,
                "index": index,
                "reason": reason,
                "note": note,
                "source": source,
                "customer": customer,
                "key_id": key_id,
                "asked": asked,
                "created": now(),
            }
            connection.execute(insert(t.remarks).values(**row, project=answer.project))
        return Remark(**row)

    def take_back_remark(self, id: str) -> bool:
        """Removes a remark; whether it was there."""
        with self._db.write() as connection:
            return bool(connection.execute(delete(t.remarks).where(t.remarks.c.id == id)).rowcount)

    def remarks_of(self, prediction_id: str, index: int = 0) -> list[Remark]:
        """Everything that was remarked on one answer, oldest first."""
        r = t.remarks.c
        query = (
            select(*(r[name] for name in _FIELDS))
            .where(r.prediction_id == prediction_id, r.index == index)
            .order_by(r.id)
        )
        with self._db.read() as connection:
            return [Remark(**row._mapping) for row in connection.execute(query)]

    def rejected_answers(self, project: str) -> set[tuple[str, int]]:
        """The answers that somebody rejected and that nobody has put right since."""
        r, p = t.remarks.c, t.predictions.c
        winner = winners(project).subquery()
        known = (winner.c.prediction_id == r.prediction_id) & (winner.c.index == r.index)
        query = (
            select(r.prediction_id, r.index)
            .join(winner, known & (winner.c.place == 1), isouter=True)
            .join(t.predictions, (p.prediction_id == r.prediction_id) & (p.index == r.index))
            .where(r.project == project, r.reason.is_not(None), winner.c.id.is_(None))
            .distinct()
        )
        with self._db.read() as connection:
            return {(row[0], row[1]) for row in connection.execute(query)}

    def rejections_to_answer(self, project: str, limit: int) -> list[tuple[Remark, Prediction]]:
        """What customers rejected without saying what would be right, and nobody of the house has
        looked at: the newest first, those whose input is still kept."""
        r, p, f = t.remarks.c, t.predictions.c, t.feedback.c
        said = select(f.id).where(f.prediction_id == r.prediction_id, f.index == r.index)
        other = t.remarks.alias("other")
        by_house = select(other.c.id).where(
            other.c.prediction_id == r.prediction_id,
            other.c.index == r.index,
            (other.c.source != "customer") | (other.c.id > r.id),
            other.c.reason.is_not(None),
        )
        query = (
            select(*(r[name].label(f"remark_{name}") for name in _FIELDS), t.predictions)
            .join(t.predictions, (p.prediction_id == r.prediction_id) & (p.index == r.index))
            .where(r.project == project, r.reason.is_not(None), r.source == "customer")
            .where(~said.exists(), ~by_house.exists())
            .where(p.stored, ~p.purged, p.expires.is_(None) | (p.expires > now()))
            .order_by(r.id.desc())
            .limit(limit)
        )
        with self._db.read() as connection:
            rows: list[Any] = list(connection.execute(query))
        found = []
        for row in rows:
            remark = Remark(**{name: row._mapping[f"remark_{name}"] for name in _FIELDS})
            found.append((remark, self._prediction(row)))
        return found

    def reviewed(self, project: str) -> list[Reviewed]:
        """What people found of each version's answers, customers and the house apart. An answer
        that was rejected and put right by one of them counts as rejected; of several words on one
        answer the most trusted, last one counts."""
        r, p = t.remarks.c, t.predictions.c
        place = func.row_number().over(
            partition_by=(r.prediction_id, r.index, r.source == "customer"),
            order_by=(trust(r.source), r.id.desc()),
        )
        rejected = (
            select(r.prediction_id, r.index, r.reason, r.source, place.label("place"))
            .where(r.project == project, r.reason.is_not(None))
            .subquery()
        )
        winner = winners(project).subquery()
        lots = drawn(project).subquery()
        what = case((winner.c.label == p.label, "accepted"), else_="edited")
        also = (
            (rejected.c.prediction_id == winner.c.prediction_id)
            & (rejected.c.index == winner.c.index)
            & ((rejected.c.source == "customer") == (winner.c.source == "customer"))
        )
        rejections = _counted(rejected, lots, rejected.c.reason)
        words = _counted(winner, lots, what).where(~select(rejected.c.place).where(also).exists())
        found = []
        with self._db.read() as connection:
            for version, reason, customer, lot, count in connection.execute(rejections):
                one = Reviewed(version, "rejected", reason, bool(customer), bool(lot), count)
                found.append(one)
            for version, said, customer, lot, count in connection.execute(words):
                found.append(Reviewed(version, said, None, bool(customer), bool(lot), count))
        return sorted(found, key=lambda one: (one.model_version, one.what, one.reason or ""))

    @staticmethod
    def _rejected_draws(project: str, model_version: str) -> Select[Any]:
        """Counts the answers of the version that were drawn, rejected, and not put right."""
        r, p = t.remarks.c, t.predictions.c
        winner = winners(project).subquery()
        known = (winner.c.prediction_id == r.prediction_id) & (winner.c.index == r.index)
        places = (
            select(r.prediction_id, r.index)
            .join(t.predictions, (p.prediction_id == r.prediction_id) & (p.index == r.index))
            .join(winner, known & (winner.c.place == 1), isouter=True)
            .where(r.project == project, r.reason.is_not(None), r.asked == "audit")
            .where(p.model_version == model_version, winner.c.id.is_(None))
            .distinct()
        )
        return select(func.count()).select_from(places.subquery())


def _counted(said: Subquery, lots: Subquery, what: ColumnElement[Any]) -> Select[Any]:
    """How many answers have `what` in `said` at place 1: by version, whether a customer said it,
    and whether the answer is among the `lots`."""
    p = t.predictions.c
    of = (said.c.prediction_id == p.prediction_id) & (said.c.index == p.index)
    in_lots = (lots.c.prediction_id == p.prediction_id) & (lots.c.index == p.index)
    columns = (
        p.model_version,
        what.label("what_"),
        (said.c.source == "customer").label("customer_"),
        lots.c.index.is_not(None).label("drawn_"),
    )
    return (
        select(*columns, func.count())
        .select_from(said)
        .join(t.predictions, of)
        .join(lots, in_lots, isouter=True)
        .where(said.c.place == 1)
        .group_by(*columns)
    )


def drawn(project: str) -> CompoundSelect[Any]:
    """The places of the answers that were drawn at random and then labelled or rejected."""
    f, r = t.feedback.c, t.remarks.c
    return union(
        select(f.prediction_id, f.index).where(f.project == project, f.asked == "audit"),
        select(r.prediction_id, r.index).where(
            r.project == project, r.asked == "audit", r.reason.is_not(None)
        ),
    )

"""Who says what, in numbers: what each key got and corrected, and what the audit found."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import case, func, select

from feilun.store import tables_ledger as t
from feilun.store.ledger_feedback import winners
from feilun.store.ledger_records import AnnotatorStatistics
from feilun.store.ledger_remarks import RemarkLog, drawn

__all__ = ["AnnotatorLog"]

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class AnnotatorLog(RemarkLog):
    """Sums over predictions and feedback; the inputs are not read, so they may be gone."""

    def annotators(
        self, project: str, since: datetime | None, sure: float
    ) -> list[AnnotatorStatistics]:
        """What each key of each customer got since the moment and before it, and which labels it
        gave that no data version has learned yet (before: that one has). A score of `sure` or more
        is a sure answer. A label belongs to the key that gave it; where that was not noted, to the
        one that got the answer. Sorted."""
        p = t.predictions.c
        is_sure = case((p.score >= sure, 1), else_=0)
        doubt = case((p.score >= sure, 1 - p.score), else_=0.0)
        now = case((p.created >= (since or _EVER), 1), else_=0).label("now_")
        got = (
            select(p.customer, p.key_id, now, func.count(), func.sum(is_sure), func.sum(doubt))
            .where(p.project == project)
            .group_by(p.customer, p.key_id, now)
        )
        winner = winners(project).subquery()
        key = func.coalesce(winner.c.key_id, p.key_id).label("key_")
        used = case((winner.c.used_in.is_(None), 0), else_=1).label("used_")
        against = case((winner.c.label != p.label, is_sure), else_=0)
        said = (
            select(p.customer, key, used, func.count(), func.sum(against))
            .select_from(winner)
            .join(
                t.predictions,
                (p.prediction_id == winner.c.prediction_id) & (p.index == winner.c.index),
            )
            .where(winner.c.place == 1, winner.c.source == "customer")
            .group_by(p.customer, key, used)
        )
        found: dict[tuple[str | None, str | None], dict[str, Any]] = defaultdict(dict)
        with self._db.read() as connection:
            for customer, key_id, is_now, answers, many, expected in connection.execute(got):
                one = found[customer, key_id]
                if is_now:
                    one |= {"answers": answers, "sure": int(many), "expected": float(expected)}
                else:
                    one |= {"past_answers": answers, "past_sure": int(many)}
            for customer, key_id, is_used, labels, contradicted in connection.execute(said):
                past = "past_" if is_used else ""
                found[customer, key_id] |= {
                    f"{past}labels": labels,
                    f"{past}contradicted": int(contradicted),
                }
        return [
            AnnotatorStatistics(*who, **figures)
            for who, figures in sorted(
                found.items(), key=lambda one: (one[0][0] or "", one[0][1] or "")
            )
        ]

    def answered(self, project: str, model_version: str) -> tuple[int, int]:
        """How many answers the version gave, and of how many the input is still kept."""
        p = t.predictions.c
        kept = case((p.stored & ~p.purged, 1), else_=0)
        query = select(func.count(), func.sum(kept)).where(
            p.project == project, p.model_version == model_version
        )
        with self._db.read() as connection:
            rows, still = connection.execute(query).one()
        return int(rows), int(still or 0)

    def audited(self, project: str, model_version: str) -> tuple[int, int]:
        """How many answers of the version were drawn at random and labelled or rejected by the
        house, and how many of them were right."""
        p = t.predictions.c
        asked = drawn(project).subquery()
        winner = winners(project).subquery()
        query = (
            select(func.count(), func.sum(case((winner.c.label == p.label, 1), else_=0)))
            .select_from(winner)
            .join(
                asked,
                (asked.c.prediction_id == winner.c.prediction_id)
                & (asked.c.index == winner.c.index),
            )
            .join(
                t.predictions,
                (p.prediction_id == winner.c.prediction_id) & (p.index == winner.c.index),
            )
            .where(winner.c.place == 1, p.model_version == model_version)
        )
        with self._db.read() as connection:
            rows, right = connection.execute(query).one()
            wrong = connection.scalar(self._rejected_draws(project, model_version)) or 0
        return int(rows) + wrong, int(right or 0)

    def audited_answers(self, project: str) -> set[tuple[str, int]]:
        """The answers that were drawn at random and labelled or rejected."""
        with self._db.read() as connection:
            return {(row[0], row[1]) for row in connection.execute(drawn(project))}

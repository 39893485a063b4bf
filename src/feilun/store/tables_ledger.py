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
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from feilun.store.columns import Json, Line, Moment
from feilun.store.tables_catalog import metadata as catalog

__all__ = [
    "allowances",
    "events",
    "feedback",
    "holds",
    "idempotency",
    "invoices",
    "links",
    "metadata",
    "prediction_blobs",
    "predictions",
    "reasons",
    "remarks",
    "roots",
    "totals",
    "volumes",
]

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
    Column("tokens_out", BigInteger, nullable=False, server_default="0"),
    Column("audio_ms", BigInteger, nullable=False, server_default="0"),
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
    # The link of its writer's chain that carries it; none on what an earlier feilun wrote.
    Column("link", BigInteger),
    UniqueConstraint("call_id", "seq"),
    Index(None, "customer", "created"),
)

# One chain of hashes for each writer and day (UTC), one link for each group commit.
links = Table(
    "links",
    metadata,
    Column("writer", String, primary_key=True),
    Column("day", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("events", Integer, nullable=False),
    Column("created", Moment, nullable=False),
)

roots = Table(
    "roots",
    metadata,
    Column("day", String, primary_key=True),
    Column("root", String, nullable=False),
    Column("chains", Json, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
)

# Sums of events, kept in the same commits. Each writer has rows of its own, so that servers do not
# wait for one another; what an event leaves out is '' or 0 here.
totals = Table(
    "totals",
    metadata,
    Column("day", String, primary_key=True),
    Column("writer", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("customer", String, primary_key=True),
    Column("key_id", String, primary_key=True),
    Column("project", String, primary_key=True),
    Column("endpoint", String, primary_key=True),
    Column("model_version", String, primary_key=True),
    Column("data_version", String, primary_key=True),
    Column("price_version", Integer, primary_key=True, autoincrement=False),
    Column("currency", String, primary_key=True),
    Column("outcome", String, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("inputs", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("pixels", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("audio_ms", BigInteger, nullable=False),
    Column("more_units", Json),
    Column("amount", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("engine_us", BigInteger, nullable=False),
    Index(None, "customer", "day"),
)

# How far each customer has come this month on each line of its prices: the place in the tiers.
volumes = Table(
    "volumes",
    metadata,
    Column("customer", String, primary_key=True),
    Column("month", String, primary_key=True),
    Column("line", String, primary_key=True),
    Column("units", BigInteger, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("customer", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("call_id", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
)

# Holds that neither settle nor release has answered yet.
holds = Table(
    "holds",
    metadata,
    Column("call_id", String, primary_key=True),
    Column("customer", String),
    Column("key_id", String),
    Column("amount", BigInteger, nullable=False),
    Column("currency", String, nullable=False),
    Column("writer", String, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
)

# What servers share of a limit: each takes a slice, and takes the next when it is used up. A row
# for each holder, and one without a holder, at which those who take wait for one another.
allowances = Table(
    "allowances",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, primary_key=True),
    Column("used", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
)

invoices = Table(
    "invoices",
    metadata,
    Column("number", String, primary_key=True),
    Column("customer", String, nullable=False),
    Column("month", String, nullable=False),
    Column("currency", String, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("document", Json, nullable=False),
    Column("digest", String, nullable=False),
    Column("created", Moment, nullable=False),
    UniqueConstraint("customer", "month", "currency"),
)

# Why a credit was given: events have no room for sentences.
reasons = Table(
    "reasons",
    metadata,
    Column("call_id", String, primary_key=True),
    Column("customer", String, nullable=False),
    Column("reason", Line, nullable=False),
    Column("created", Moment, nullable=False),
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

# What is said of an answer besides the right one; without a reason it is a note alone.
remarks = Table(
    "remarks",
    metadata,
    Column("id", String, primary_key=True),
    Column("prediction_id", String, nullable=False),
    Column("index", Integer, nullable=False),
    Column("project", String, nullable=False, index=True),
    Column("reason", String),
    Column("note", Line, nullable=False),
    Column("source", String, nullable=False),
    Column("customer", String),
    Column("key_id", String),
    Column("asked", String),
    Column("created", Moment, nullable=False),
    Index(None, "prediction_id", "index"),
)

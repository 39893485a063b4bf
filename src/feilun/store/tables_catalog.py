"""Tables of the catalog. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy import text as sql

from feilun.store.columns import Json, Line, Moment, Words

__all__ = [
    "api_keys",
    "artifacts",
    "audit",
    "counters",
    "customers",
    "data_versions",
    "deployments",
    "metadata",
    "model_versions",
    "prices",
    "projects",
    "runs",
    "servers",
    "settings",
    "step_runs",
    "subscriptions",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

projects = Table(
    "projects",
    metadata,
    Column("name", String, primary_key=True),
    Column("task", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("created", Moment, nullable=False),
    # What it was renamed to, the newest last: `name` is what everything else refers to.
    Column("names", Json, nullable=False, server_default="[]"),
    Column("deleted", Moment),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("ref", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
)

data_versions = Table(
    "data_versions",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, ForeignKey("projects.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("artifact", String, nullable=False),
    Column("parent", String, ForeignKey("data_versions.id")),
    Column("reason", Line, nullable=False),
    Column("counts", Json, nullable=False),
    Column("roles", Json, nullable=False),
    Column("info", Json, nullable=False),
    Column("created", Moment, nullable=False),
    # What the writer calls this row, so that a step that runs again finds it instead of a second.
    Column("key", String, unique=True),
    UniqueConstraint("project", "number"),
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, ForeignKey("projects.name"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("method", String, nullable=False),
    Column("state", String, nullable=False),
    Column("data_version", String, ForeignKey("data_versions.id")),
    Column("parent", String, ForeignKey("model_versions.id")),
    Column("weights", String),
    Column("variant", String),
    Column("variants", Json, nullable=False),
    Column("report", String),
    Column("metrics", Json, nullable=False),
    Column("config", Json, nullable=False),
    Column("reason", Line, nullable=False),
    Column("run_id", String),
    Column("created", Moment, nullable=False),
    Column("pruned", Moment),
    Column("key", String, unique=True),
    UniqueConstraint("project", "number"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("endpoint", String, nullable=False, index=True),
    Column("project", String, ForeignKey("projects.name"), nullable=False),
    Column("version", String, ForeignKey("model_versions.id"), nullable=False),
    Column("variant", String),
    Column("artifact", String, nullable=False),
    Column("weight", Float, nullable=False),
    Column("role", String, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment),
    Column("actor", Line, nullable=False),
    Column("reason", Line, nullable=False),
    Column("forced", Boolean, nullable=False),
)
_one_live = sql("role = 'live' AND until IS NULL")
Index(
    "ix_one_live_per_endpoint",
    deployments.c.endpoint,
    unique=True,
    sqlite_where=_one_live,
    postgresql_where=_one_live,
)

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, ForeignKey("projects.name"), nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("state", String, nullable=False),
    Column("plan", Json, nullable=False),
    Column("config", Json, nullable=False),
    Column("pid", Integer),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("heartbeat", Moment),
    Column("finished", Moment),
    Column("result", Json, nullable=False),
    Column("error", Words),
)

step_runs = Table(
    "step_runs",
    metadata,
    Column("run_id", String, ForeignKey("runs.id"), primary_key=True),
    Column("step", String, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("started", Moment, nullable=False),
    Column("finished", Moment),
    Column("result", Json, nullable=False),
    Column("progress", Json),
)

servers = Table(
    "servers",
    metadata,
    Column("id", String, primary_key=True),
    Column("pid", Integer, nullable=False),
    Column("machine", String, nullable=False),
    Column("host", String, nullable=False),
    Column("port", Integer, nullable=False),
    Column("address", String, nullable=False),
    Column("started", Moment, nullable=False),
    Column("heartbeat", Moment, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", Line, nullable=False),
    Column("created", Moment, nullable=False),
    # What stands on invoices (legal name, address, tax), and what the customer may use at most.
    Column("details", Json, nullable=False, server_default="{}"),
    Column("limits", Json, nullable=False, server_default="{}"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("prefix", String, nullable=False),
    Column("hash", String, nullable=False, unique=True),
    Column("customer", String, ForeignKey("customers.id"), nullable=False),
    Column("name", Line, nullable=False),
    Column("project", String, ForeignKey("projects.name")),
    Column("store_inputs", Integer),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    Column("scopes", Json, nullable=False, server_default='["predict","feedback","usage"]'),
    Column("limits", Json, nullable=False, server_default="{}"),
    # The key that takes this one's place once it has expired.
    Column("successor", String),
)

prices = Table(
    "prices",
    metadata,
    Column("id", Integer, primary_key=True),
    # A project's list price (`amount` for 1,000 inputs), or a version of a plan (`document`).
    Column("project", String, ForeignKey("projects.name"), index=True),
    Column("amount", BigInteger),
    Column("plan", String, index=True),
    Column("document", Json),
    Column("currency", String, nullable=False),
    Column("effective", Moment, nullable=False),
    Column("created", Moment, nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", String, ForeignKey("customers.id"), nullable=False, index=True),
    Column("plan", String, nullable=False),
    Column("effective", Moment, nullable=False),
    Column("created", Moment, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", Line, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", Line, nullable=False),
    Column("detail", Json, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Json, nullable=False),
)

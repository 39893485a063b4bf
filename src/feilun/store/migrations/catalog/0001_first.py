"""The catalog's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Json, Line, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables, and the epoch at zero."""
    _versions()
    _runs()
    _access()
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": "epoch", "value": 0}])
    op.create_table(
        "settings",
        sa.Column("key", sa.String, nullable=False),
        sa.Column("value", Json, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_settings"),
    )


def _versions() -> None:
    op.create_table(
        "projects",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    op.create_table(
        "artifacts",
        sa.Column("ref", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("ref", name="pk_artifacts"),
    )
    op.create_table(
        "data_versions",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("artifact", sa.String, nullable=False),
        sa.Column("parent", sa.String),
        sa.Column("reason", Line, nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("info", Json, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.Column("key", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_data_versions"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_data_versions_project"),
        sa.ForeignKeyConstraint(["parent"], ["data_versions.id"], name="fk_data_versions_parent"),
        sa.UniqueConstraint("project", "number", name="uq_data_versions_project_number"),
        sa.UniqueConstraint("key", name="uq_data_versions_key"),
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("method", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("data_version", sa.String),
        sa.Column("parent", sa.String),
        sa.Column("weights", sa.String),
        sa.Column("variant", sa.String),
        sa.Column("variants", Json, nullable=False),
        sa.Column("report", sa.String),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("config", Json, nullable=False),
        sa.Column("reason", Line, nullable=False),
        sa.Column("run_id", sa.String),
        sa.Column("created", Moment, nullable=False),
        sa.Column("pruned", Moment),
        sa.Column("key", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_model_versions_project"),
        sa.ForeignKeyConstraint(
            ["data_version"], ["data_versions.id"], name="fk_model_versions_data_version"
        ),
        sa.ForeignKeyConstraint(["parent"], ["model_versions.id"], name="fk_model_versions_parent"),
        sa.UniqueConstraint("project", "number", name="uq_model_versions_project_number"),
        sa.UniqueConstraint("key", name="uq_model_versions_key"),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("variant", sa.String),
        sa.Column("artifact", sa.String, nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("until", Moment),
        sa.Column("actor", Line, nullable=False),
        sa.Column("reason", Line, nullable=False),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deployments"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_deployments_project"),
        sa.ForeignKeyConstraint(["version"], ["model_versions.id"], name="fk_deployments_version"),
    )
    op.create_index("ix_deployments_endpoint", "deployments", ["endpoint"])
    one_live = sa.text("role = 'live' AND until IS NULL")
    op.create_index(
        "ix_one_live_per_endpoint",
        "deployments",
        ["endpoint"],
        unique=True,
        sqlite_where=one_live,
        postgresql_where=one_live,
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("plan", Json, nullable=False),
        sa.Column("config", Json, nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("created", Moment, nullable=False),
        sa.Column("started", Moment),
        sa.Column("heartbeat", Moment),
        sa.Column("finished", Moment),
        sa.Column("result", Json, nullable=False),
        sa.Column("error", Line),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_runs_project"),
    )
    op.create_index("ix_runs_project", "runs", ["project"])
    op.create_table(
        "step_runs",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("step", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("started", Moment, nullable=False),
        sa.Column("finished", Moment),
        sa.Column("result", Json, nullable=False),
        sa.Column("progress", Json),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", name="pk_step_runs"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_step_runs_run_id"),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("machine", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("started", Moment, nullable=False),
        sa.Column("heartbeat", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servers"),
    )


def _access() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", Line, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("prefix", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("name", Line, nullable=False),
        sa.Column("project", sa.String),
        sa.Column("store_inputs", sa.Integer),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment),
        sa.Column("revoked", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_api_keys_customer"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_api_keys_project"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("effective", Moment, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prices"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_prices_project"),
    )
    op.create_index("ix_prices_project", "prices", ["project"])

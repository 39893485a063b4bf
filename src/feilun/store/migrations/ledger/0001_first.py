"""The ledger's first tables, and the triggers that keep its events as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Json, Line, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables and triggers."""
    _events()
    _predictions()
    _append_only()


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("inputs", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("pixels", sa.BigInteger, nullable=False),
        sa.Column("more_units", Json),
        sa.Column("price_version", sa.Integer),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String, nullable=False),
        sa.Column("customer", sa.String),
        sa.Column("key_id", sa.String),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("model_version", sa.String),
        sa.Column("data_version", sa.String),
        sa.Column("writer", sa.String, nullable=False),
        sa.Column("cost", sa.BigInteger, nullable=False),
        sa.Column("engine_us", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("call_id", "seq", name="uq_events_call_id_seq"),
    )
    op.create_index("ix_events_created", "events", ["created"])
    op.create_index("ix_events_customer_events_created", "events", ["customer", "created"])


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("prediction_id", sa.String, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("input", sa.Text),
        sa.Column("input_hash", sa.String),
        sa.Column("output", Json, nullable=False),
        sa.Column("label", Line),
        sa.Column("score", sa.Float),
        sa.Column("margin", sa.Float),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("customer", sa.String),
        sa.Column("key_id", sa.String),
        sa.Column("created", Moment, nullable=False),
        sa.Column("expires", Moment),
        sa.Column("stored", sa.Boolean, nullable=False),
        sa.Column("purged", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", "index", name="pk_predictions"),
    )
    op.create_index("ix_predictions_expires", "predictions", ["expires"])
    op.create_index(
        "ix_predictions_project_predictions_created", "predictions", ["project", "created"]
    )
    op.create_table(
        "prediction_blobs",
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("prediction_id", sa.String, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("hash", "prediction_id", "index", name="pk_prediction_blobs"),
    )
    op.create_index(
        "ix_prediction_blobs_prediction_id_prediction_blobs_index",
        "prediction_blobs",
        ["prediction_id", "index"],
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("prediction_id", sa.String, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("label", Line, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("customer", sa.String),
        sa.Column("created", Moment, nullable=False),
        sa.Column("used_in", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_project", "feedback", ["project"])
    op.create_index(
        "ix_feedback_prediction_id_feedback_index", "feedback", ["prediction_id", "index"]
    )


def _append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER events_no_{action.lower()} BEFORE {action} ON events "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION events_are_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
        "FOR EACH STATEMENT EXECUTE FUNCTION events_are_append_only()"
    )

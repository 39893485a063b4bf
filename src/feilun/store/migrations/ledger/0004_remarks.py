"""What people say of answers besides the right one: that one is rejected and why, and notes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Line, Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "remarks",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("prediction_id", sa.String, nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("project", sa.String, nullable=False),
        sa.Column("reason", sa.String),
        sa.Column("note", Line, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("customer", sa.String),
        sa.Column("key_id", sa.String),
        sa.Column("asked", sa.String),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_remarks"),
    )
    op.create_index("ix_remarks_project", "remarks", ["project"])
    op.create_index("ix_remarks_prediction_id_remarks_index", "remarks", ["prediction_id", "index"])

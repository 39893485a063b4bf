"""Feedback notes which key said it, and for which reason a person was asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two columns; what was said before has neither."""
    op.add_column("feedback", sa.Column("key_id", sa.String))
    op.add_column("feedback", sa.Column("asked", sa.String))

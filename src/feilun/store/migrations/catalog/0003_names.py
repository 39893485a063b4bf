"""Projects are renamed and deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Json, Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds two columns; projects so far have their first name and are there."""
    op.add_column("projects", sa.Column("names", Json, nullable=False, server_default="[]"))
    op.add_column("projects", sa.Column("deleted", Moment))

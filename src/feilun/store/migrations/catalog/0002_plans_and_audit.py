"""Plans, scopes and limits of keys, what stands on invoices, and the log of administrative acts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from feilun.store.columns import Json, Line, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds columns with the meaning that rows had so far, and the new tables."""
    for name in ("details", "limits"):
        op.add_column("customers", sa.Column(name, Json, nullable=False, server_default="{}"))
    scopes = '["predict","feedback","usage"]'
    op.add_column("api_keys", sa.Column("scopes", Json, nullable=False, server_default=scopes))
    op.add_column("api_keys", sa.Column("limits", Json, nullable=False, server_default="{}"))
    op.add_column("api_keys", sa.Column("successor", sa.String))
    with op.batch_alter_table("prices") as prices:
        prices.alter_column("project", existing_type=sa.String, nullable=True)
        prices.alter_column("amount", existing_type=sa.BigInteger, nullable=True)
        prices.add_column(sa.Column("plan", sa.String))
        prices.add_column(sa.Column("document", Json))
        prices.create_index("ix_prices_plan", ["plan"])
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("customer", sa.String, nullable=False),
        sa.Column("plan", sa.String, nullable=False),
        sa.Column("effective", Moment, nullable=False),
        sa.Column("created", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name="fk_subscriptions_customer"),
    )
    op.create_index("ix_subscriptions_customer", "subscriptions", ["customer"])
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("actor", Line, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", Line, nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    # Counts the rows apart from the rows, and makes those who append wait for one another.
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    op.bulk_insert(counters, [{"name": "audit", "value": 0}])
    _append_only("audit")


def _append_only(table: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
    )

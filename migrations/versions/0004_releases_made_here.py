"""Releases that are trained, judged and promoted here: what is known of each, and what happened to it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_NOW = sa.text("CURRENT_TIMESTAMP")


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("releases", sa.Column("is_warm", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("releases", sa.Column("previous", sa.Integer(), nullable=True))
    op.add_column("releases", sa.Column("job", sa.String(length=32), nullable=True))
    op.add_column("releases", sa.Column("report", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("releases", sa.Column("shadow_share", sa.Double(), nullable=True))
    op.add_column("releases", sa.Column("shadow", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("encoders", sa.Column("job", sa.String(length=32), nullable=True))
    op.add_column("encoders", sa.Column("removed_at", _MOMENT, nullable=True))
    op.add_column("jobs", sa.Column("note", sa.JSON(none_as_null=True), nullable=True))
    op.create_table(
        "release_events",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("collection_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_release_events_collection_id", "release_events", ["collection_id"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_release_events_collection_id", table_name="release_events")
    op.drop_table("release_events")
    for table, columns in _COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)


_COLUMNS = {
    "jobs": ["note"],
    "encoders": ["job", "removed_at"],
    "releases": ["is_warm", "previous", "job", "report", "shadow_share", "shadow"],
}

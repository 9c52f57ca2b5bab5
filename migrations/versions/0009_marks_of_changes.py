"""How old the changes are."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    collection = sa.ForeignKeyConstraint(
        ["collection_id"],
        ["collections.id"],
        name=op.f("fk_change_marks_collection_id_collections"),
        ondelete="CASCADE",
    )
    op.create_table(
        "change_marks",
        sa.Column("collection_id", _BIG_ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        collection,
        sa.PrimaryKeyConstraint("collection_id", "seq", name=op.f("pk_change_marks")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop it; changes that were removed stay so."""
    op.drop_table("change_marks")

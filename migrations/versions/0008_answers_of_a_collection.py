"""Kept answers say of which collection they are, and go with it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEPT = sa.table("kept_answers", sa.column("id", sa.BigInteger), sa.column("answer", sa.LargeBinary))
_OF_A_NEW_COLLECTION = b'{"name":'


def upgrade() -> None:
    """Add the column, and delete the answers about new collections: they lack the etag that one has now."""
    op.add_column("kept_answers", sa.Column("collection", sa.String(length=63), nullable=True))
    op.create_index("ix_kept_answers_collection", "kept_answers", ["collection"], unique=False)
    start = sa.func.substr(_KEPT.c.answer, 1, len(_OF_A_NEW_COLLECTION), type_=sa.LargeBinary)
    op.execute(_KEPT.delete().where(start == _OF_A_NEW_COLLECTION))


def downgrade() -> None:
    """Drop it; the answers are kept."""
    op.drop_index("ix_kept_answers_collection", table_name="kept_answers")
    op.drop_column("kept_answers", "collection")

"""A random tag with every change: tells a restored database from the one that a snapshot was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; changes from before have tag 0."""
    op.add_column("changes", sa.Column("tag", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("changes", "tag")

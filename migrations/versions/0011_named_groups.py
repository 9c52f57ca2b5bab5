"""Feedback keeps the group that its sender named, whatever is made of it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_FEEDBACK = sa.table(
    "feedback",
    sa.column("verdict", sa.String),
    sa.column("state", sa.String),
    sa.column("group_key", sa.String),
    sa.column("named_group", sa.String),
)


def upgrade() -> None:
    """Add the column. Of what was accepted the group it went into is the best that is known; what was rejected after it
    had been accepted, and of which nobody had named a group, still had one.
    """
    op.add_column("feedback", sa.Column("named_group", sa.String(length=256), nullable=True))
    named = _FEEDBACK.c.verdict == "right_group"
    op.execute(_FEEDBACK.update().where(named).values(named_group=_FEEDBACK.c.group_key))
    left = sa.and_(_FEEDBACK.c.state == "rejected", _FEEDBACK.c.named_group.is_(None))
    op.execute(_FEEDBACK.update().where(left).values(group_key=None))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("feedback", "named_group")

"""The first schema: collections, releases, groups, records and their change log, encoders, kept answers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_NOW = sa.text("CURRENT_TIMESTAMP")


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "collections",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("active_release", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
        sa.UniqueConstraint("name", name=op.f("uq_collections_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "encoders",
        sa.Column("sha", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.PrimaryKeyConstraint("sha", name=op.f("pk_encoders")),
        sa.UniqueConstraint("name", name=op.f("uq_encoders_name")),
    )
    op.create_table(
        "kept_answers",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_answers")),
        sa.UniqueConstraint("key", name=op.f("uq_kept_answers_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_kept_answers_created_at", "kept_answers", ["created_at"], unique=False)
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "changes",
        sa.Column("collection_id", _BIG_ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("op", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_changes_collection_id_collections"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "seq", name=op.f("pk_changes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "groups",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("collection_id", _BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=256), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_groups_collection_id_collections"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("collection_id", "key", name=op.f("uq_groups_collection_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "releases",
        sa.Column("id", _BIG_ID, nullable=False),
        sa.Column("collection_id", _BIG_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("encoder_sha", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("activated_at", _MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collections.id"],
            name=op.f("fk_releases_collection_id_collections"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["encoder_sha"], ["encoders.sha"], name=op.f("fk_releases_encoder_sha_encoders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("collection_id", "number", name=op.f("uq_releases_collection_id_number")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "records",
        sa.Column("record_id", _BIG_ID, nullable=False),
        sa.Column("collection_id", _BIG_ID, nullable=False),
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("group_id", _BIG_ID, nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.Column("updated_at", _MOMENT, server_default=_NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collections.id"], name=op.f("fk_records_collection_id_collections"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["groups.id"], name=op.f("fk_records_group_id_groups")),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_records")),
        sa.UniqueConstraint("collection_id", "id", name=op.f("uq_records_collection_id_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_records_group_id", "records", ["group_id"], unique=False)
    op.create_table(
        "record_labels",
        sa.Column("record_id", _BIG_ID, nullable=False),
        sa.Column("label", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"], ["records.record_id"], name=op.f("fk_record_labels_record_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("record_id", "label", name=op.f("pk_record_labels")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("record_labels")
    op.drop_index("ix_records_group_id", table_name="records")
    op.drop_table("records")
    op.drop_table("releases")
    op.drop_table("groups")
    op.drop_table("changes")
    op.drop_table("secrets")
    op.drop_index("ix_kept_answers_created_at", table_name="kept_answers")
    op.drop_table("kept_answers")
    op.drop_table("encoders")
    op.drop_table("collections")

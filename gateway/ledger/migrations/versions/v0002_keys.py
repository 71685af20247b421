"""Virtual keys and end users, which an older version made without a note of it, and the key's id in usage records."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LOCK = 7_205_759_403_792_794
"""PostgreSQL's advisory lock that the older version makes its tables under: a worker of it may be at that now."""

_TABLES = ("identity_revisions", "virtual_keys", "end_users")


def upgrade() -> None:
    """Make what is not there: the tables of keys and end users stay as they are."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    op.add_column("usage", sa.Column("key_id", sa.Text))
    there = set(sa.inspect(connection).get_table_names())
    for name, make in zip(_TABLES, (_revisions, _keys, _end_users), strict=True):
        if name not in there:
            make()
    _count()


def _revisions() -> None:
    op.create_table(
        "identity_revisions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def _keys() -> None:
    op.create_table(
        "virtual_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("hash_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("end_user", sa.Text),
        sa.Column("default_end_user", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("models", "scopes", "tags", "metadata")),
        *(sa.Column(name, sa.Text) for name in ("budget", "limits")),
    )
    op.create_index("ix_virtual_keys_revision", "virtual_keys", ["revision"])
    valid = sa.text("revoked_at IS NULL")
    op.create_index(
        "ux_virtual_keys_alias", "virtual_keys", ["alias"], unique=True, sqlite_where=valid, postgresql_where=valid
    )


def _end_users() -> None:
    op.create_table(
        "end_users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("budget", sa.Text),
        sa.Column("limits", sa.Text),
    )
    op.create_index("ix_end_users_revision", "end_users", ["revision"])


def _count() -> None:
    """A line for each table whose changes are counted, beginning at none."""
    counted = sa.table("identity_revisions", sa.column("name", sa.Text), sa.column("value", sa.BigInteger))
    connection = op.get_bind()
    known = set(connection.execute(sa.select(counted.c.name)).scalars())
    for name in _TABLES[1:]:
        if name not in known:
            connection.execute(sa.insert(counted).values(name=name, value=0))


def downgrade() -> None:
    """Delete keys and end users, with everything in them."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    with op.batch_alter_table("usage") as usage:
        usage.drop_column("key_id")

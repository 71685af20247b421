"""The tables of virtual keys and end users, for SQLite and PostgreSQL alike. Lists and objects are JSON texts.

`migrations/` makes them, as it makes the ledger's.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, Table, Text

keys_metadata = MetaData()

revisions = Table(
    "identity_revisions",
    keys_metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""One line per table below: how often it has changed. Whoever writes takes its next number first and so holds its lock
until the end: a change with a higher number is never seen before one with a lower."""

keys = Table(
    "virtual_keys",
    keys_metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("alias", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hash_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("end_user", Text),
    Column("default_end_user", Text),
    *(Column(name, Text, nullable=False) for name in ("models", "scopes", "tags", "metadata")),
    *(Column(name, Text) for name in ("budget", "limits")),
    Index("ix_virtual_keys_revision", "revision"),
)
"""`digest` is the keyed hash of a key; the key itself is nowhere. Times are seconds since 1970."""

Index(
    "ux_virtual_keys_alias",
    keys.c.alias,
    unique=True,
    sqlite_where=keys.c.revoked_at.is_(None),
    postgresql_where=keys.c.revoked_at.is_(None),
)

end_users = Table(
    "end_users",
    keys_metadata,
    Column("id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("name", Text, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("budget", Text),
    Column("limits", Text),
    Index("ix_end_users_revision", "revision"),
)
"""`name` is null in what is left of a deleted one: nothing of them but that there was somebody."""

"""The ledger's tables, for SQLite and PostgreSQL alike. `migrations/` makes them, and those of `keys_schema`; a test
holds them together."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from gateway.ledger.entry import LISTS
from gateway.ledger.tally import SUMS

VERSION_TABLE = "gateway_ledger_version"
"""Where the schema's version is noted: a name of our own, since an operator's database may be shared."""

REVISIONS = ("0001", "0002", "0003")
"""The versions this program knows, the oldest first."""

metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")


def _texts(*names: str, nullable: bool = False) -> list[Column[str]]:
    return [Column(name, Text, nullable=nullable) for name in names]


def _counts(*names: str, nullable: bool = False) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=nullable) for name in names]


usage = Table(
    "usage",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    *_texts("request_id", "trace_id", "span_id", "method", "path", "route"),
    Column("status", Integer, nullable=False),
    *_texts("outcome"),
    *_texts("error_type", nullable=True),
    Column("duration", Float, nullable=False),
    Column("overhead", Float, nullable=False),
    Column("time_to_first_chunk", Float),
    *_texts("key_alias", "key_id", "end_user", "session", "model", nullable=True),
    Column("stream", Boolean, nullable=False),
    *_texts("provider", "deployment", "served_model", "response_model", nullable=True),
    *_counts("attempts"),
    *_counts("input_tokens", nullable=True),
    *_counts("output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    Column("estimated", Boolean, nullable=False),
    *_counts("cost", "input_cost", "output_cost", nullable=True),
    *_texts("cost_source", "price_version", nullable=True),
    *_texts(*LISTS),
    Column("resumed", BigInteger, nullable=False, server_default="0"),
    Index("ix_usage_at", "at", "id"),
    Index("ix_usage_end_user", "end_user", "at", "id"),
    Index("ix_usage_request_id", "request_id"),
)
"""One row per request. `at` is in nanoseconds since 1970, amounts are picodollars (1e-12 USD), times are seconds, lists
are JSON. `request_id` may repeat: a client may send its own in `x-request-id`."""

daily = Table(
    "usage_daily",
    metadata,
    *_texts("dimension", "name"),
    Column("day", Date, nullable=False),
    *_counts(*SUMS),
    PrimaryKeyConstraint("dimension", "name", "day"),
    sqlite_with_rowid=False,
)
"""Sums of `usage` by UTC day, for each name in each dimension; `all` has whole days."""

segments = Table(
    "usage_segments",
    metadata,
    Column("segment", Text, primary_key=True),
    Column("shipped", BigInteger, nullable=False),
)
"""How many bytes of each file of a journal are in `usage`: written with them in one transaction, which is what makes
shipping exactly once."""

forgotten = Table(
    "usage_forgotten",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)
"""SHA-256 of end users whose data was deleted, and when: what a journal still has of them from before is not stored."""

"""Usage records, their sums by day, how far each journal is shipped, and who is forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_REQUIRED = ("request_id", "trace_id", "span_id", "method", "path", "route")
_WHO = ("key_alias", "end_user", "session", "model")
_SERVED = ("provider", "deployment", "served_model", "response_model")
_TOKENS = ("output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_SUMS = (
    "requests",
    "errors",
    "blocked",
    "cancelled",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cost",
)


def _texts(names: tuple[str, ...], nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=nullable) for name in names]


def _counts(names: tuple[str, ...], nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def upgrade() -> None:
    """Make the tables of the first version."""
    op.create_table(
        "usage",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts(_REQUIRED),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error_type", sa.Text),
        sa.Column("duration", sa.Float, nullable=False),
        sa.Column("overhead", sa.Float, nullable=False),
        sa.Column("time_to_first_chunk", sa.Float),
        *_texts(_WHO, nullable=True),
        sa.Column("stream", sa.Boolean, nullable=False),
        *_texts(_SERVED, nullable=True),
        *_counts(("attempts",)),
        *_counts(("input_tokens",), nullable=True),
        *_counts(_TOKENS),
        sa.Column("estimated", sa.Boolean, nullable=False),
        *_counts(("cost", "input_cost", "output_cost"), nullable=True),
        *_texts(("cost_source", "price_version"), nullable=True),
        *_texts(("tags", "dropped", "finish_reasons", "decisions")),
    )
    op.create_index("ix_usage_at", "usage", ["at", "id"])
    op.create_index("ix_usage_end_user", "usage", ["end_user", "at", "id"])
    op.create_index("ix_usage_request_id", "usage", ["request_id"])
    op.create_table(
        "usage_daily",
        *_texts(("dimension", "name")),
        sa.Column("day", sa.Date, nullable=False),
        *_counts(_SUMS),
        sa.PrimaryKeyConstraint("dimension", "name", "day"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_segments",
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("shipped", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "usage_forgotten",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Delete the ledger, with everything in it."""
    for table in ("usage_forgotten", "usage_segments", "usage_daily", "usage"):
        op.drop_table(table)

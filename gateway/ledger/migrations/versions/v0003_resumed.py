"""How often a stream that broke was continued by another call, in usage records; none where it was not noted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column. Its default is for older workers too, which go on writing while newer ones start."""
    op.add_column("usage", sa.Column("resumed", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Take it away again."""
    with op.batch_alter_table("usage") as usage:
        usage.drop_column("resumed")

"""Revoked tokens, callers and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "revocations",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("until", sa.Float()),
        sa.Column("lifted_at", sa.Float()),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )

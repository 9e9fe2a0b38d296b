"""Approvals, grants, and how far channels have told of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("key", sa.String(71), nullable=False),
        sa.Column("live_key", sa.String(71), unique=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("caller", sa.String(), nullable=False),
        sa.Column("attention_at", sa.Float()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )
    op.create_index("approvals_by_key", "approvals", ["key", "id"])
    op.create_index("approvals_by_state", "approvals", ["state", "id"])
    op.create_index("approvals_by_caller", "approvals", ["caller", "state"])
    op.create_index("approvals_by_attention", "approvals", ["attention_at"])
    op.create_table(
        "grants",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )
    op.create_index("grants_by_function", "grants", ["function", "subject"])
    op.create_table(
        "notices",
        sa.Column("channel", sa.String(64), primary_key=True),
        sa.Column("approval", sa.String(26), primary_key=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
    )

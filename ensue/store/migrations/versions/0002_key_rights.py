"""API keys: owner, maker, rotation, and all that a key may do. Keys made before may use every model, without limits."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

LIMITS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent",
    "token_budget",
    "token_budget_per_day",
    "token_budget_per_month",
    "max_tokens",
    "max_n",
)


def upgrade() -> None:
    for column in _columns():
        op.add_column("api_keys", column)
    op.create_index("ix_api_keys_old_digest", "api_keys", ["old_digest"], unique=True)


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("owner", sa.String(128), nullable=False, server_default=""),
        sa.Column("maker", sa.String(32), nullable=True),
        sa.Column("old_digest", sa.String(64), nullable=True),
        sa.Column("old_until", sa.BigInteger, nullable=True),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("models", sa.JSON, nullable=False, server_default='["*"]'),
        *(sa.Column(name, sa.BigInteger, nullable=True) for name in LIMITS),
        sa.Column("priority", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("not_before", sa.BigInteger, nullable=True),
        sa.Column("allow_ips", sa.JSON, nullable=False, server_default="[]"),
    ]


def downgrade() -> None:
    op.drop_index("ix_api_keys_old_digest", "api_keys")
    with op.batch_alter_table("api_keys") as table:
        for column in reversed(_columns()):
            table.drop_column(column.name)

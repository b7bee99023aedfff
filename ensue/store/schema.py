"""The tables, as the newest migration leaves them. `migrations/versions` holds the steps that lead here."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypedColumns,
)

REVISION = "0004"  # of the newest migration
VERSION_TABLE = "alembic_version"

metadata = MetaData()


class _ApiKeyColumns(TypedColumns):
    """One API key. The token itself is nowhere: its digest finds it, its hint helps a person to tell keys apart."""

    id = Column(String(32), primary_key=True)
    name = Column(String(128), nullable=False)
    owner = Column(String(128), nullable=False)
    maker = Column(String(32), nullable=True)  # id of the key that made it; none: made on the host
    digest = Column(String(64), nullable=False, unique=True)  # SHA-256 of the whole token, hexadecimal
    hint = Column(String(4), nullable=False)  # the token's last characters
    old_digest = Column(String(64), nullable=True, unique=True, index=True)  # of the token before the rotation
    old_until = Column(BigInteger, nullable=True)  # when that one ends
    created_at = Column(BigInteger, nullable=False)  # Unix seconds, as all times here
    revoked_at = Column(BigInteger, nullable=True)
    disabled = Column(Boolean, nullable=False)
    # ---- ensue.rights.KeyRights, field by field
    scopes = Column(JSON, nullable=False)  # list of names
    models = Column(JSON, nullable=False)  # list of globs
    requests_per_minute = Column(BigInteger, nullable=True)
    tokens_per_minute = Column(BigInteger, nullable=True)
    concurrent = Column(BigInteger, nullable=True)
    token_budget = Column(BigInteger, nullable=True)
    token_budget_per_day = Column(BigInteger, nullable=True)
    token_budget_per_month = Column(BigInteger, nullable=True)
    max_tokens = Column(BigInteger, nullable=True)
    max_n = Column(BigInteger, nullable=True)
    priority = Column(BigInteger, nullable=False)
    not_before = Column(BigInteger, nullable=True)
    expires_at = Column(BigInteger, nullable=True)
    allow_ips = Column(JSON, nullable=False)  # list of networks


api_keys = Table("api_keys", metadata, _ApiKeyColumns)


class _OutsideKeyColumns(TypedColumns):
    """The name of a key that made requests and is not among the keys here: a token's subject, a supplied secret."""

    id = Column(String(64), primary_key=True)
    name = Column(String(128), nullable=False)


outside_keys = Table("outside_keys", metadata, _OutsideKeyColumns)


class _LedgerColumns(TypedColumns):
    """One request that was let through to the engine: written before it starts, settled when it has ended."""

    id = Column(String(40), primary_key=True)  # the request's, as its caller saw it
    instance_id = Column(String(16), nullable=False)  # the process that answers it
    key_id = Column(String(64), nullable=True)  # None: no key was needed
    model = Column(Text, nullable=False)  # canonical name
    endpoint = Column(String(64), nullable=False)  # the route's path
    user_label = Column(Text, nullable=True)  # the request's `user`
    created_at = Column(BigInteger, nullable=False)
    # ---- what is known of its use; before the settlement, what was written down on the way
    prompt_tokens = Column(BigInteger, nullable=False)
    cached_tokens = Column(BigInteger, nullable=False)
    completion_tokens = Column(BigInteger, nullable=False)
    # ---- null until it is settled
    settled_at = Column(BigInteger, nullable=True)
    finish = Column(String(64), nullable=True)  # the choices' reasons, or cancelled, error, lost
    status = Column(Integer, nullable=True)  # of the HTTP answer, where one was begun
    queue_s = Column(Double, nullable=True)
    first_token_s = Column(Double, nullable=True)
    total_s = Column(Double, nullable=True)


ledger = Table("ledger", metadata, _LedgerColumns)
Index("ix_ledger_created_at", ledger.c.created_at)
Index(
    "ix_ledger_open",
    ledger.c.instance_id,
    sqlite_where=ledger.c.settled_at.is_(None),
    postgresql_where=ledger.c.settled_at.is_(None),
)


class _UsageColumns(TypedColumns):
    """Sums of the ledger's settled rows; they stay when rows are purged."""

    key_id = Column(String(64), primary_key=True)  # empty: no key was needed
    day = Column(Date, primary_key=True)  # UTC, of the rows' created_at
    model = Column(Text, primary_key=True)
    requests = Column(BigInteger, nullable=False)
    prompt_tokens = Column(BigInteger, nullable=False)
    cached_tokens = Column(BigInteger, nullable=False)
    completion_tokens = Column(BigInteger, nullable=False)


usage_by_day = Table("usage_by_day", metadata, _UsageColumns)

"""The tables, as the newest migration leaves them. `migrations/versions` holds the steps that lead here."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, MetaData, String, Table, TypedColumns

REVISION = "0002"  # of the newest migration
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

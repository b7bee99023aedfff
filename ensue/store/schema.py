"""The tables, as the newest migration leaves them. `migrations/versions` holds the steps that lead here."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table, TypedColumns

REVISION = "0001"  # of the newest migration
VERSION_TABLE = "alembic_version"

metadata = MetaData()


class _ApiKeyColumns(TypedColumns):
    """One API key. The token itself is nowhere: its digest finds it, its hint helps a person to tell keys apart."""

    id = Column(String(32), primary_key=True)
    name = Column(String(128), nullable=False)
    digest = Column(String(64), nullable=False, unique=True)  # SHA-256 of the whole token, hexadecimal
    hint = Column(String(4), nullable=False)  # the token's last characters
    scopes = Column(JSON, nullable=False)  # list of names
    created_at = Column(BigInteger, nullable=False)  # Unix seconds, as all times here
    expires_at = Column(BigInteger, nullable=True)
    revoked_at = Column(BigInteger, nullable=True)


api_keys = Table("api_keys", metadata, _ApiKeyColumns)
